//! The composition root: every world, fault, probe and kind of target that this build knows, assembled in one place.

use std::sync::Arc;

use chaos_core::Table;
use chaos_core::World;
use chaos_core::probe::ProbeTable;
use chaos_core::target::{Target, TargetKindTable};
#[cfg(feature = "docker")]
use chaos_docker::Docker;
use chaos_host::Host;

use super::Failure;
use crate::experiment::Vocabulary;
use crate::plan::{Known, Protected};

/// What this program can find, ask and do.
pub struct Worlds {
    /// This host.
    pub host: Arc<Host>,
    /// The container engines.
    #[cfg(feature = "docker")]
    pub docker: Arc<Docker>,
    /// Every fault.
    pub faults: Arc<Table>,
    /// Every kind of target.
    pub kinds: TargetKindTable,
    /// Every probe.
    pub probes: Arc<ProbeTable>,
}

impl Worlds {
    /// All of them. Cheap: nothing is looked at yet.
    ///
    /// # Errors
    /// If this program cannot find its own file, which it starts as executor and helper.
    pub fn assemble() -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|e| Failure::usage(format!("find this program's own file: {e}")))?;
        let host = Arc::new(Host::new(program));
        let faults = chaos_host::faults(&host).join(chaos_proxy::faults(&Arc::new(chaos_proxy::Proxies::new())));
        let kinds = chaos_host::target_kinds(host.view()).join(chaos_proxy::target_kinds());
        let probes = chaos_probe::probes();
        #[cfg(feature = "docker")]
        let docker = Arc::new(Docker::new());
        #[cfg(feature = "docker")]
        let (faults, kinds, probes) = (
            faults.join(chaos_docker::faults(&docker)),
            kinds.join(chaos_docker::target_kinds(&docker)),
            probes.join(chaos_docker::probes(&docker)),
        );
        Ok(Self {
            faults: Arc::new(faults),
            kinds,
            probes: Arc::new(probes),
            host,
            #[cfg(feature = "docker")]
            docker,
        })
    }

    /// The words of the experiment file.
    #[must_use]
    pub fn vocabulary(&self) -> Vocabulary<'_> {
        Vocabulary { faults: &self.faults, probes: &self.probes, kinds: &self.kinds }
    }

    /// Why something is never a target, by no setting (RULES 4). What cannot be looked at is protected.
    #[must_use]
    pub fn protected(&self, target: &Target) -> Option<String> {
        self.first_protected(std::slice::from_ref(target)).map(|(_, why)| why)
    }

    /// The first of these, by its place, that is never a target, and why. However many they are, processes are looked at once.
    #[must_use]
    pub fn first_protected(&self, targets: &[Target]) -> Option<(usize, String)> {
        let pids: Vec<Option<i32>> = targets.iter().map(|target| target.facets.process.map(|p| p.pid)).collect();
        let process = match self.host.view().first_protected(&pids) {
            Ok(protected) => protected,
            Err(e) => pids.iter().position(Option::is_some).map(|at| (at, format!("the processes of this host cannot be listed: {e}"))),
        };
        process.or_else(|| targets.iter().enumerate().find_map(|(at, target)| Some((at, self.protected_otherwise(target)?))))
    }

    /// As what else than a process.
    fn protected_otherwise(&self, target: &Target) -> Option<String> {
        // A path that a process beside it sees is none of this host's.
        let own = target.facets.path.as_ref().filter(|_| target.facets.process.is_none());
        let path = || own.and_then(|p| self.host.view().protected_path(p));
        #[cfg(feature = "docker")]
        let container = || self.docker.view().protected(target);
        #[cfg(not(feature = "docker"))]
        let container = || None;
        path().or_else(container)
    }

    /// For planning.
    #[must_use]
    pub fn known<'a>(&'a self, protected: &'a Protected<'a>) -> Known<'a> {
        Known { faults: &self.faults, kinds: &self.kinds, protected }
    }
}
