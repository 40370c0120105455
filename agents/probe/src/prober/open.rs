//! From a question in the experiment to one that can be asked.

use std::path::PathBuf;
use std::sync::Arc;

use chaos_core::experiment::Question;
use chaos_core::probe::{AnyClient, Asking, ProbeError, ProbeTable};
use chaos_core::secret::Secrets;
use chaos_core::target::Target;

use super::limits::in_flight_max;

/// What opening needs to know beside the question.
pub(super) struct Opener {
    pub(super) table: Arc<ProbeTable>,
    pub(super) secrets: Secrets,
    pub(super) folder: PathBuf,
}

impl Opener {
    /// Opens a question with its secrets filled in. An error never shows them.
    pub(super) async fn open<'a>(
        &self,
        question: &'a Question,
        measured: impl IntoIterator<Item = &'a String>,
        targets: Vec<Target>,
    ) -> Result<Arc<dyn AnyClient>, ProbeError> {
        let Some(probe) = self.table.get(&question.probe) else {
            return Err(ProbeError {
                message: format!("unknown probe `{}`", question.probe),
                hint: Some("`chaos probes` lists them".into()),
            });
        };
        let good = question.good.references().iter();
        let asking = Asking {
            timeout: question.timeout.get(),
            in_flight_max: in_flight_max(question.timeout.get(), question.every.get()),
            wanted: good.chain(measured).cloned().collect(),
            targets,
            folder: self.folder.clone(),
        };
        let with = self.secrets.fill_value(&question.with);
        probe.open(&with, &asking).await.map_err(|e| ProbeError { message: self.redact(e.message), hint: e.hint.map(|h| self.redact(h)) })
    }

    /// `text` without the value of any secret.
    pub(super) fn redact(&self, text: String) -> String {
        let values = self.secrets.expose().values().filter(|v| !v.is_empty());
        values.fold(text, |text, value| if text.contains(value.as_str()) { text.replace(value.as_str(), "(secret)") } else { text })
    }
}
