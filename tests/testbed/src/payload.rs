//! What a machine or a container is given to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Absent;
use crate::archive::Archive;
use crate::kernel::said;

/// Programs and files of this machine, at the same paths in the virtual one, or in a container.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    programs: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Payload {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The test program that runs now.
    ///
    /// # Panics
    /// When it does not know its own path.
    #[must_use]
    pub fn with_this_test(self) -> Self {
        self.with_program(std::env::current_exe().expect("our own path"))
    }

    /// A program, with the shared libraries that it loads.
    #[must_use]
    pub fn with_program(mut self, path: impl Into<PathBuf>) -> Self {
        self.programs.push(path.into());
        self
    }

    /// A file, as it is.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    pub(crate) fn pack(&self) -> Result<Vec<u8>, Absent> {
        let mut archive = Archive::default();
        self.add_to(&mut archive)?;
        Ok(archive.end())
    }

    pub(crate) fn add_to(&self, archive: &mut Archive) -> Result<(), Absent> {
        for program in &self.programs {
            add_program(archive, program, program)?;
        }
        for file in &self.files {
            archive.copy(file, &file.to_string_lossy()).map_err(|e| Absent(format!("{}: {e}", file.display())))?;
        }
        Ok(())
    }
}

/// A program at a path over there, with the shared libraries that it loads at theirs.
pub(crate) fn add_program(archive: &mut Archive, program: &Path, at: &Path) -> Result<(), Absent> {
    let absent = |e: &dyn std::fmt::Display| Absent(format!("{} cannot be carried: {e}", program.display()));
    let content = stripped(program).map_err(|e| absent(&e))?;
    archive.file(&at.to_string_lossy(), 0o755, &content);
    // It fails for a program that loads none.
    let loads = said(Command::new("ldd").arg(program)).unwrap_or_default();
    for library in loads.split_whitespace().filter(|word| word.starts_with('/')) {
        archive.copy(Path::new(library), library).map_err(|e| absent(&e))?;
    }
    Ok(())
}

/// Without what only debuggers read: most of a program that is built for tests, and a guest's memory is small.
fn stripped(program: &Path) -> std::io::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("program");
    match said(Command::new("strip").arg("--strip-debug").arg("-o").arg(&copy).arg(program)) {
        Ok(_) => std::fs::read(copy),
        Err(_) => std::fs::read(program),
    }
}
