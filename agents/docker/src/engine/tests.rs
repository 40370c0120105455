//! Engines that do not answer as they should.
