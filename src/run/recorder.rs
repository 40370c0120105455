//! Gives every event its number and hands it to all who listen: the record's file, the screen, the judge.

use std::cell::{Cell, RefCell};

use chaos_core::clock::Mono;
use chaos_core::event::{Event, Source, What};

/// Somebody who listens to a run. Handed in by the command line: a run knows no report.
pub trait Sink {
    /// Takes one event. Must not block for long and cannot fail: a record that cannot be written is told at the end.
    fn event(&mut self, event: &Event);

    /// Looks at the clock, a few times a second, when nothing happens.
    fn tick(&mut self) {}
}

/// The one place where events get their order.
pub struct Recorder {
    seq: Cell<u64>,
    sinks: RefCell<Vec<Box<dyn Sink>>>,
}

impl Recorder {
    /// With these listeners.
    #[must_use]
    pub fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self { seq: Cell::new(0), sinks: RefCell::new(sinks) }
    }

    /// Records something that the coordinator says, now.
    pub fn say(&self, what: What) -> Event {
        let event = Event { seq: self.seq.replace(self.seq.get() + 1), at: Mono::now(), from: Source::Coordinator, what };
        self.forward(&event);
        event
    }

    /// Hands on an event that has its place already (the executor's).
    pub fn forward(&self, event: &Event) {
        for sink in self.sinks.borrow_mut().iter_mut() {
            sink.event(event);
        }
    }

    /// Lets the listeners look at the clock.
    pub fn tick(&self) {
        for sink in self.sinks.borrow_mut().iter_mut() {
            sink.tick();
        }
    }
}
