//! Container engines as a world: what may be read of them, and the one place from which anything is done to them.

use chaos_core::World;

/// The container engines that one executor uses.
#[derive(Default)]
pub struct Docker {
    view: DockerView,
}

/// What can be read of engines. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DockerView;

impl Docker {
    /// None is connected yet: each is when it is first asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl World for Docker {
    type View = DockerView;

    fn view(&self) -> &DockerView {
        &self.view
    }
}
