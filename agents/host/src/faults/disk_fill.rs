//! `disk.fill`: no space left on device.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal::{Size, SizeOrPercent};
use chaos_core::target::{Facet, Target};
use rustix::fs::OFlags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::helped::{Reached, end, is_still_held, kill_by_tag, started};
use super::{failed, look};
use crate::disk::{Disk, held_by, users};
use crate::file::{Root, open_folder, seen_by};
use crate::helper::Helper;
use crate::process::living;
use crate::world::{Host, HostView};

/// Takes space on the file system of a path.
pub(crate) struct DiskFill;

/// How much is taken. Exactly one of the two.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// So many bytes more than are in use now (`2 GiB`), or until this share of the file system is in use (`95%`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<SizeOrPercent>,
    /// Everything but so much: `0 B` leaves nothing. What the file system keeps for root is taken too where the folder is root's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) free: Option<Size>,
}

/// The helper that holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// By which it is known.
        tag: String,
        /// In which tree of files; none: this host's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root: Option<Root>,
        /// Where the nameless file is made.
        folder: PathBuf,
        /// The file system.
        device: u64,
        /// What it takes.
        amount: Amount,
        /// The reserved blocks count as free: the folder is root's.
        reserve: bool,
    },
}

/// What is taken, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Amount {
    /// So much.
    Take(u64),
    /// All but so much.
    LeaveFree(u64),
}

impl Fault for DiskFill {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "disk.fill";

    fn profile(&self) -> Profile {
        Profile {
            summary: "fills a file system, down to the last block if asked to",
            about: "A helper process reserves space with a file that has no name, on the file system of the target's path, in bounded steps. \
                Everybody who writes there feels it. The space is free again the moment the helper ends, and it lives on a lifeline: it \
                ends with the executor, whatever ends that.\n\n\
                In a container, the layers that it writes to draw on the disk of the host, which is what is filled then; a `tmpfs` of its \
                own is the container's alone. A file system that holds the journal of chaos is never filled: taking back must not need what was taken.",
            example: "inject: disk.fill\ninto: model volume\nwith: {free: 0 B}\nfor: 60s",
            takes: &["files"],
            facets: &[Facet::Path],
            privileges: "may write to the folder",
            reach: Reach::FileSystem,
            reversibility: Reversibility::Exact,
            persistence: Persistence::DiesWithExecutor,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(5),
            rampable: &[],
            class: Class::File,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        let hint = "for example `with: {free: 0 B}` or `with: {size: 95%}`";
        match (&spec.size, &spec.free) {
            (None, None) => vec![SpecError::new("", "how much? neither `size` nor `free` is given").hint(hint)],
            (Some(_), Some(_)) => vec![SpecError::new("free", "`size` and `free` say the same thing twice").hint(hint)],
            (Some(size), None) if size.of(1_000_000) == 0 => vec![SpecError::new("size", "nothing would be taken").hint(hint)],
            _ => Vec::new(),
        }
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let path = target.facets.path.clone().ok_or_else(|| FaultError::new(format!("{} is not a file or folder", target.label)))?;
        let Where { root, folder, protected, device: felt, own } = Where::of(&path, target, view)?;
        if let Some(why) = protected {
            return Err(FaultError::new(format!("fill the file system of {}: {why}", path.display()))
                .hint("mount the path on a file system of its own, or move the state of chaos with `--state-dir`"));
        }
        let (_, disk) = there(root.as_ref(), &folder)?;
        let amount = amount(spec, &disk)?;
        let undo = Undo::V1 { tag: id.tag(), root, folder, device: disk.device, amount, reserve: disk.roots_own };
        let mut prepared = Prepared::new(undo).claim(format!("disk:{felt}"));
        if own {
            prepared.reach = Some(Reach::Target);
            return Ok(prepared.note("it is mounted there alone, and goes when that ends"));
        }
        prepared.bystanders = users(felt, &look()?);
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { tag, root, folder, device, amount, reserve } = armed.undo();
        let mut more = vec![("folder", folder.clone().into_os_string()), ("reserve", u8::from(*reserve).to_string().into())];
        more.push(match amount {
            Amount::Take(bytes) => ("bytes", bytes.to_string().into()),
            Amount::LeaveFree(bytes) => ("free", bytes.to_string().into()),
        });
        if let Some(root) = root {
            more.push(("root", serde_json::to_string(root).map_err(|e| FaultError::new(format!("write down where: {e}")))?.into()));
        }
        let helper = Helper { kind: "hold-file", tag, run: &armed.id().run, deadline: armed.deadline(), more };
        let enough = || {
            let held: u64 = living(tag)?.iter().map(|id| held_by(id.pid, *device)).sum();
            let disk = open_folder(root.as_ref(), folder, OFlags::RDONLY).and_then(|folder| Disk::of_open(&folder))?;
            Ok(if is_enough(*amount, held, &disk, *reserve) { Reached::All } else { Reached::Some(held) })
        };
        started(&armed, world.start_helper(&helper), enough).await?;
        let held: u64 = living(tag).unwrap_or_default().iter().map(|id| held_by(id.pid, *device)).sum();
        Ok(Observed::note(format!("{} taken", Size::from_bytes(held >> 12 << 12))))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { tag, root, folder, device, amount, reserve } = undo;
        let Some(helper) = is_still_held(tag, &look()?)? else {
            return Ok(Presence::none());
        };
        let held = held_by(helper.id.pid, *device);
        let (open, disk) = there(root.as_ref(), folder)?;
        let met = match amount {
            Amount::LeaveFree(0) if disk.refuses_a_block(&open) => Met::Count(1),
            Amount::LeaveFree(0) => Met::Idle,
            _ => Met::Unknown,
        };
        Ok(if is_enough(*amount, held, &disk, *reserve) {
            Presence::whole().met(met)
        } else if held == 0 {
            Presence::none()
        } else {
            Presence::partial(format!("{held} bytes are held, and {} are free: somebody made room", disk.free(*reserve))).met(met)
        })
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { tag, .. } = undo;
        end(world, tag)
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { tag, .. } = undo;
        vec![kill_by_tag(tag)]
    }
}

/// Where the space is taken.
struct Where {
    root: Option<Root>,
    folder: PathBuf,
    /// Why it never is.
    protected: Option<String>,
    /// The file system whose users feel it.
    device: u64,
    /// It is mounted in a container alone.
    own: bool,
}

impl Where {
    fn of(path: &Path, target: &Target, view: &HostView) -> Result<Self, FaultError> {
        let wrong = |e: std::io::Error| failed(&format!("look at {}", target.label), &e);
        let Some(process) = target.facets.process else {
            let disk = Disk::of(path).map_err(wrong)?;
            let protected = view.protected_disk(path);
            return Ok(Self { root: None, folder: disk.folder, protected, device: disk.device, own: false });
        };
        let seen = seen_by(process, path).map_err(wrong)?.ok_or_else(|| FaultError::gone(format!("{} is gone", target.label)))?;
        let folder = if seen.meta.is_dir() { seen.path.as_path() } else { seen.path.parent().unwrap_or(&seen.path) };
        let (protected, device) = match &seen.root {
            // The layers of a container draw on the disk that they lie on.
            Some(Root::Layers { layers, .. }) => {
                let upper = layers.disk().map_err(wrong)?;
                (view.protected_disk(upper), Disk::of(upper).map_err(wrong)?.device)
            }
            Some(Root::Namespace { .. }) if seen.kind == "tmpfs" => (None, seen.meta.dev()),
            Some(Root::Namespace { .. }) => (Some(format!("nobody can tell what the space of a {} is drawn from", seen.kind)), 0),
            None => (view.protected_disk(&seen.path), seen.meta.dev()),
        };
        let own = matches!(seen.root, Some(Root::Namespace { .. }));
        Ok(Self { folder: folder.to_owned(), root: seen.root, protected, device, own })
    }
}

/// The file system of a folder, in whosever tree of files.
fn there(root: Option<&Root>, folder: &Path) -> Result<(OwnedFd, Disk), FaultError> {
    let opened = open_folder(root, folder, OFlags::RDONLY).and_then(|open| Disk::of_open(&open).map(|disk| (open, disk)));
    opened.map_err(|e| failed(&format!("look at {}", folder.display()), &e))
}

fn amount(spec: &Spec, disk: &Disk) -> Result<Amount, FaultError> {
    let free = disk.free(disk.roots_own);
    let bytes = match (spec.size, spec.free) {
        (_, Some(leave)) if leave.bytes() < free || free == 0 => return Ok(Amount::LeaveFree(leave.bytes())),
        (_, Some(leave)) => return Err(FaultError::new(format!("leave {leave} free: only {} are", Size::from_bytes(free)))),
        (Some(SizeOrPercent::Size(size)), _) => size.bytes(),
        (Some(SizeOrPercent::Percent(share)), _) => share.of(disk.total).saturating_sub(disk.total - disk.free(true).min(disk.total)),
        (None, None) => 0,
    };
    if bytes == 0 {
        return Err(FaultError::new("fill the file system: so much is in use already"));
    }
    if bytes > free {
        return Err(FaultError::new(format!(
            "take {} of the file system: only {} are free",
            Size::from_bytes(bytes),
            Size::from_bytes(free)
        ))
        .hint("`free: 0 B` takes all there is"));
    }
    Ok(Amount::Take(bytes))
}

/// Everybody writes while we fill: a few blocks more or less are as good as asked.
fn is_enough(amount: Amount, held: u64, disk: &Disk, reserve: bool) -> bool {
    const SLACK: u64 = 1 << 20;
    match amount {
        Amount::Take(bytes) => held >= bytes,
        Amount::LeaveFree(bytes) => held > 0 && disk.free(reserve) <= bytes + SLACK.min(disk.total / 100),
    }
}
