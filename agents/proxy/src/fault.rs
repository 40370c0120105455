//! A toxic as a fault: the one adapter for all of them.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::Table;
use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError, UndoJson,
};
use chaos_core::target::{Facet, ProxyFacet, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::{self, Visitor, understood};
use crate::control::{ControlError, State};
use crate::engine::nobody_at;
use crate::toxic::{Speaks, Toxic};
use crate::world::{Proxies, ProxiesView};

/// Every toxic as a fault.
#[must_use]
pub fn faults(world: &Arc<Proxies>) -> Table {
    let mut building = Building { table: Table::new(), world };
    catalogue::visit(&mut building);
    building.table
}

struct Building<'a> {
    table: Table,
    world: &'a Arc<Proxies>,
}

impl Visitor for Building<'_> {
    fn toxic<T: Toxic>(&mut self) {
        self.table = std::mem::take(&mut self.table).with(ToxicFault::<T>(PhantomData), self.world);
    }
}

/// A toxic on a proxy that stands.
struct ToxicFault<T>(PhantomData<fn() -> T>);

/// Which toxic, where.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The id of the toxic: the injection's tag.
        id: String,
        /// Where the proxy listens.
        listen: String,
        /// Its control socket.
        control: PathBuf,
        /// The fields, as they were given.
        with: Value,
    },
}

impl<T: Toxic> Fault for ToxicFault<T> {
    type World = Proxies;
    type Spec = T;
    type Undo = Undo;
    const KIND: &'static str = T::KIND;

    fn profile(&self) -> Profile {
        let text = T::text();
        Profile {
            summary: text.summary,
            about: text.about,
            example: text.example,
            takes: &["proxy"],
            facets: &[Facet::Proxy],
            privileges: "none, beyond running as the user of the proxy",
            reach: Reach::Target,
            reversibility: text.reversibility,
            persistence: Persistence::DiesWithExecutor,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(2),
            rampable: text.rampable,
            class: Class::Network,
            internal: false,
        }
    }

    fn check(&self, spec: &T) -> Vec<SpecError> {
        spec.check()
    }

    fn fits(&self, _spec: &T, selector: &Value) -> Option<SpecError> {
        let speaks = selector.get("speaks").map_or(Ok(Speaks::default()), Speaks::deserialize).ok()?;
        understood::<T>(speaks).err()
    }

    async fn prepare(&self, spec: &T, target: &Target, id: &InjectionId, view: &ProxiesView) -> Result<Prepared<Undo>, FaultError> {
        let facet = target.facets.proxy.as_ref().ok_or_else(|| FaultError::new(format!("{} is no proxy", target.label)))?;
        understood::<T>(spoken(facet)?).map_err(|e| FaultError { hint: e.hint, ..FaultError::new(e.message) })?;
        let state = view.state(&facet.control).map_err(|e| failed(&format!("reach {}", named(&facet.listen)), e))?;
        let with = serde_json::to_value(spec).map_err(|e| FaultError::new(format!("write down the fields of {}: {e}", T::KIND)))?;
        let undo = Undo::V1 { id: id.tag(), listen: facet.listen.clone(), control: facet.control.clone(), with };
        let (listen, pid) = (&facet.listen, state.pid);
        let mut prepared = Prepared::new(undo).note(match facet.upstream {
            Some(_) => format!(
                "everybody who connects to {listen} feels it, through process {pid}: if that is killed, its connections end and nobody \
                listens there"
            ),
            None => format!(
                "everybody whose connections are led through the proxy {listen} feels it, through process {pid}: if that is killed, they \
                end, and new ones go where they always went"
            ),
        });
        if let Some(why) = state.upstream.as_deref().and_then(nobody_at) {
            prepared = prepared.note(why);
        }
        if let Some(at) = facet.listen.parse::<SocketAddr>().ok().filter(|at| !at.ip().is_loopback()) {
            let upstream = facet.upstream.as_deref().unwrap_or("what it stands before");
            prepared = prepared.note(format!("other machines that reach {at} reach {upstream} through it"));
        }
        if facet.upstream.is_none() {
            prepared = prepared.note("connections made before the proxy stood there are not led through it, and meet nothing");
        }
        for claim in spec.claims() {
            prepared = prepared.claim(format!("proxy:{}/{claim}", facet.control.display()));
        }
        for note in spec.notes() {
            prepared = prepared.note(note);
        }
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Proxies) -> Result<Observed, FaultError> {
        let Undo::V1 { id, listen, control, with } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        world.arm(control, id, T::KIND, with, armed.deadline()).map_err(|e| failed(&format!("arm {} on {}", T::KIND, named(listen)), e))?;
        Ok(Observed::note(format!("in force on {}", named(listen))))
    }

    async fn adjust(&self, spec: &T, undo: &Undo, world: &Proxies) -> Result<(), FaultError> {
        let Undo::V1 { id, listen, control, .. } = undo;
        let with = serde_json::to_value(spec).map_err(|e| FaultError::new(format!("write down the fields of {}: {e}", T::KIND)))?;
        world.adjust(control, id, &with).map_err(|e| failed(&format!("adjust {} on {}", T::KIND, named(listen)), e))?;
        Ok(())
    }

    async fn inspect(&self, undo: &Undo, view: &ProxiesView) -> Result<Presence, FaultError> {
        let Undo::V1 { id, listen, control, .. } = undo;
        let state = match view.state(control) {
            Ok(state) => state,
            Err(ControlError::Gone(_)) => return Ok(Presence::none().finding(format!("{} is gone", named(listen)))),
            Err(error) => return Err(failed(&format!("look at {}", named(listen)), error)),
        };
        let Some(toxic) = state.toxic(id) else { return Ok(Presence::none()) };
        let presence = Presence::whole().met(match toxic.hits {
            None => Met::Unknown,
            Some(0) => Met::Idle,
            Some(hits) => Met::Count(hits),
        });
        Ok(match &toxic.unreachable {
            Some(why) => presence.finding(format!("{} could not reach {}: {why}", named(listen), upstream(&state))),
            None => presence,
        })
    }

    fn meets(&self, undo: &Undo, other: &str, others_undo: &UndoJson) -> Option<String> {
        let Undo::V1 { listen, control, with, .. } = undo;
        let Undo::V1 { control: others_control, with: others, .. } = Undo::deserialize(others_undo).ok()?;
        let same = other == T::KIND && *control == others_control;
        let toxics = same.then(|| T::deserialize(with).ok().zip(T::deserialize(&others).ok())).flatten();
        toxics.filter(|(one, other)| one.meets(other)).map(|_| named(listen))
    }

    async fn revert(&self, undo: &Undo, world: &Proxies) -> Result<Reverted, FaultError> {
        let Undo::V1 { id, listen, control, .. } = undo;
        world.disarm(control, id).map_err(|e| failed(&format!("disarm {} on {}", T::KIND, named(listen)), e))?;
        Ok(Reverted::default())
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { id, control, .. } = undo;
        let ask = serde_json::json!({"disarm": {"id": id}}).to_string();
        vec![
            format!("# {} ends with the executor that armed it; to end it by hand:", T::KIND),
            format!("printf '%s\\n' {} | socat - UNIX-CONNECT:{}", quoted(&ask), quoted(&control.display().to_string())),
        ]
    }

    fn reversibility(&self, _spec: &T) -> Reversibility {
        T::text().reversibility
    }
}

/// What the proxy speaks, from its facet.
fn spoken(facet: &ProxyFacet) -> Result<Speaks, FaultError> {
    let known = Speaks::ALL.into_iter().find(|s| s.word() == facet.speaks);
    known.ok_or_else(|| FaultError::new(format!("{} speaks `{}`, which this chaos does not know", named(&facet.listen), facet.speaks)))
}

fn failed(doing: &str, error: ControlError) -> FaultError {
    match error {
        ControlError::Refused { message, hint } => FaultError { hint, ..FaultError::new(format!("{doing}: {message}")) },
        ControlError::Gone(_) => {
            FaultError::gone(format!("{doing}: {error}")).hint("`chaos run` starts the proxies of its targets; is it dead?")
        }
        ControlError::Broken { .. } => FaultError::new(format!("{doing}: {error}")),
    }
}

/// The proxy that listens at an address, or stands before something.
fn named(listen: &str) -> String {
    if listen.parse::<SocketAddr>().is_ok() { format!("the proxy at {listen}") } else { format!("the proxy {listen}") }
}

fn upstream(state: &State) -> String {
    state.upstream.as_ref().map_or_else(|| "where connections were going".to_owned(), |upstream| format!("its upstream {upstream}"))
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
