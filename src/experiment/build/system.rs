//! `system`: what the experiment itself starts.

use chaos_core::experiment::{Ready, SystemProcess};
use chaos_core::literal::Duration;

use super::Builder;
use super::question::Asked;
use crate::experiment::tree::Node;
use crate::experiment::{file, words};

impl Builder<'_> {
    pub(super) fn system(&mut self) -> Vec<SystemProcess> {
        let defined: Vec<(String, &Node)> = self.names.system.iter().map(|defined| (defined.name.clone(), defined.node)).collect();
        defined.into_iter().map(|(name, node)| self.process(name, node)).collect()
    }

    fn process(&mut self, name: String, node: &Node) -> SystemProcess {
        let written: file::Process = self.decode(node);
        let ready = node.get("ready").map(|node| self.ready(node));
        SystemProcess {
            name,
            run: self.command(node, written.run.as_deref()),
            env: written.env.unwrap_or_default(),
            folder: self.given.folder.join(written.folder.unwrap_or_default()),
            ready,
            log: written.log.map(|log| self.given.folder.join(log)),
            restart_after: written.restart_after,
            stop_grace: written.stop_grace.unwrap_or(Duration::from_secs(5)),
        }
    }

    fn ready(&mut self, node: &Node) -> Ready {
        let written: file::Ready = self.decode(node);
        let asked = Asked { probe: written.probe, of: None, at: "here".into(), every: written.every, timeout: written.timeout };
        Ready { question: self.question(node, asked), within: written.within.unwrap_or_default() }
    }

    /// The words of the command under `run:`.
    pub(super) fn command(&mut self, node: &Node, run: Option<&str>) -> Vec<String> {
        let (Some(text), Some(value)) = (run, node.get("run")) else { return Vec::new() };
        words::split(text).unwrap_or_else(|problem| {
            let hint = "words are split by spaces and quotes, no shell: `sh -c '…'` where one is meant".to_owned();
            self.problems.error(value.place, "wrong-literal", format!("this command {problem}"), hint);
            Vec::new()
        })
    }
}
