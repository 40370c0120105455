//! The image of examples/container: its last stage, with this very program in place of what its first stage builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use chaos_testbed::{Engine, Payload, not_covered};

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");

/// A file of this project.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Makes the image, from the program that this test was built with, and the libraries that it loads.
pub fn build(engine: &Engine, image: &str) {
    let program = format!("{image}-program");
    engine.image(&program, &Payload::new().with_program(CHAOS));
    let context = folder("image-");
    make(engine, image, context.path(), &program, &format!("--from={program} {CHAOS}"));
}

/// Follows the last stage of the Dockerfile, on another ground and with another program.
fn make(engine: &Engine, image: &str, context: &Path, ground: &str, program: &str) {
    let dockerfile = std::fs::read_to_string(file("examples/container/Dockerfile")).expect("it is there");
    let (_, last) = dockerfile.rsplit_once("\nFROM scratch\n").expect("its last stage begins with nothing");
    let last = last.replace("--from=build /src/target/release/chaos", program);
    std::fs::write(context.join("Dockerfile"), format!("FROM {ground}\n{last}")).expect("a file of ours");
    engine.docker(&["build", "--quiet", "--tag", image, &context.to_string_lossy()]);
}

/// A folder below the target directory, gone when dropped.
pub fn folder(prefix: &str) -> tempfile::TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// Minutes, because everything is built once more: `cargo test --test containers -- --ignored`.
#[test]
#[ignore = "builds the whole program once more"]
fn the_program_that_the_dockerfile_builds_runs_on_nothing() {
    let engine = match Engine::shared() {
        Ok(engine) => engine,
        Err(absent) => return not_covered("the static program of examples/container", &absent.0),
    };
    let target = file("target/static");
    let dockerfile = std::fs::read_to_string(file("examples/container/Dockerfile")).expect("it is there");
    let line = dockerfile.lines().find_map(|line| line.strip_prefix("RUN cargo ")).expect("it builds with cargo");
    let words = line.split(' ').filter(|word| *word != "--release");
    let built = Command::new("cargo").args(words).current_dir(file("")).env("CARGO_TARGET_DIR", &target).status();
    assert!(built.is_ok_and(|status| status.success()), "cargo {line}");
    let context = folder("static-");
    std::fs::copy(target.join("debug/chaos"), context.path().join("chaos")).expect("a copy");
    make(engine, "chaos-static", context.path(), "scratch", "chaos");
    assert!(engine.docker(&["run", "--rm", "chaos-static", "--version"]).starts_with("chaos "));
    super::shop::Shop::open(engine, &[("CHAOS_IMAGE", "chaos-static")]);
}
