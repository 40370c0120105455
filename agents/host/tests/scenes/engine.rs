//! Containers of a real engine, as its own kind of target finds them.

use chaos_core::target::Target;
use chaos_testbed::Engine;

use super::containers::container_target;
use super::process_id;

/// A container that is removed at the end.
pub(crate) struct Container {
    pub(crate) name: String,
}

impl Container {
    /// Of busybox; it sleeps. More words for `docker run`, and what it does before it sleeps.
    pub(crate) fn new(engine: &Engine, more: &[&str], first: &str) -> Self {
        Self::of(engine, Engine::BUSYBOX, more, first)
    }

    /// The same of another image.
    pub(crate) fn of(engine: &Engine, image: &str, more: &[&str], first: &str) -> Self {
        let name = Engine::unique("host");
        let script = format!("{first}; echo ready > /dev/shm/ready; exec sleep 600");
        let words = ["run", "--detach", "--name", &name].into_iter().chain(more.iter().copied());
        engine.docker(&words.chain([image, "sh", "-c", &script]).collect::<Vec<_>>());
        super::wait_for("it is ready", || engine.try_docker(&["exec", &name, "test", "-e", "/dev/shm/ready"]).is_ok());
        Self { name }
    }

    pub(crate) fn pid(&self, engine: &Engine) -> i32 {
        engine.docker(&["inspect", "--format", "{{.State.Pid}}", &self.name]).parse().expect("a pid")
    }

    pub(crate) fn target(&self, engine: &Engine) -> Target {
        let id = engine.docker(&["inspect", "--format", "{{.Id}}", &self.name]);
        container_target(&id, process_id(self.pid(engine)))
    }

    /// What `files: {path, of}` finds in it.
    pub(crate) fn file(&self, engine: &Engine, path: &str) -> Target {
        let mut target = self.target(engine);
        target.facets.path = Some(path.into());
        target.facets.container = None;
        target
    }

    pub(crate) fn cat(&self, engine: &Engine, path: &str) -> String {
        engine.try_docker(&["exec", &self.name, "cat", path]).unwrap_or_else(|_| "gone".into())
    }
}

/// Removes them, which a test that has failed does not do by itself.
pub(crate) struct Removed<'a>(pub(crate) &'a Engine, pub(crate) Container);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_docker(&["rm", "--force", "--volumes", &self.1.name]);
    }
}
