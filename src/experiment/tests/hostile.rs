//! Input that nobody should write, and somebody will: a clear error that names the file, quickly, and never a panic.

use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::super::{render, summary};
use super::{real, text, told};

fn first_line(text: &str) -> String {
    told(text).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn an_alias_bomb_is_stopped() {
    let mut bomb = String::from("version: 1\nexperiment: bomb\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let last = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [*a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}, *a{last}]\n"));
    }
    assert!(first_line(&bomb).contains("more than 20000 values"), "{}", first_line(&bomb));
}

#[test]
fn nesting_ten_thousand_deep_is_stopped() {
    for deep in ["[".repeat(10_000), "{a: ".repeat(10_000), "- ".repeat(10_000), "&a [*a]".to_owned()] {
        let told = first_line(&format!("version: 1\nx:\n  {deep}"));
        assert!(told.contains("nested deeper than 64") || told.contains("alias"), "{told}");
    }
    let mut blocks = String::from("version: 1\n");
    for depth in 0..1000 {
        blocks.push_str(&format!("{}a:\n", " ".repeat(depth)));
    }
    assert!(first_line(&blocks).contains("nested deeper than 64"));
}

#[test]
fn files_that_are_no_experiments_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let large = folder.path().join("large.yaml");
    std::fs::File::create(&large).and_then(|file| file.set_len(50 << 20)).expect("a sparse file");
    let cases = [
        (large, "is larger than 1 MiB"),
        (write("empty.yaml", b""), "is empty"),
        (write("blank.yaml", b"  \n\n"), "is empty"),
        (write("binary.yaml", b"\x7fELF\xff\xfe\x00\x01"), "is not text in UTF-8"),
        (write("nul.yaml", b"version: 1\0"), "is not text: it holds a NUL byte"),
        (folder.path().to_owned(), "is a directory"),
        (folder.path().join("missing.yaml"), "there is no such file"),
    ];
    for (path, message) in cases {
        let told = render(&real(&path, &[]).expect_err("no experiment"), false);
        assert!(told.contains(message) && told.contains(&path.display().to_string()) && told.contains("hint:"), "{told}");
    }
    let closed = write("closed.yaml", b"version: 1");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("permissions");
    if std::fs::File::open(&closed).is_err() {
        let told = render(&real(&closed, &[]).expect_err("no permission"), false);
        assert!(told.contains("permission denied") && told.contains("closed.yaml"), "{told}");
    }
}

#[test]
fn texts_of_another_shape_are_explained() {
    for (text, message) in [
        ("just words", "an experiment is a map, not a single value"),
        ("- a\n- b", "an experiment is a map, not a list"),
        ("# nothing\n", "the file is empty"),
        ("version: 1\n---\nversion: 1\n", "a second document begins here"),
        ("version: 2\nexperiment: x\n", "unknown version `2` of the language"),
        ("version: 1\nexperiment: !x y\n", "YAML reads `!` as the start of a tag"),
        ("version: 1\nuse:\n  - !!map {}\n", "tags (`!…`) mean nothing in an experiment"),
        ("version: 1\n<<: {a: b}\n", "merge keys (`<<`) are not used here"),
        ("version: 1\n? [a]\n: b\n", "a list or a map stands where a key is expected"),
        ("version: 1\npart: x\n", "this is a part, not an experiment"),
        ("version: 1\n\texperiment: x\n", "a tab stands where YAML wants spaces"),
        ("version: 1\nexperiment: \"x\n", "a quote is opened and never closed"),
    ] {
        let all = told(text);
        assert!(all.contains(message), "{text:?}: {all}");
    }
}

#[test]
fn thousands_of_wrong_names_are_told() {
    let names: String = (0..3000).map(|number| format!("  a{number}: {{probe: htp, goof: x}}\n")).collect();
    let problems = text("many.yaml", &format!("version: 1\nexperiment: many\nsteady_state:\n{names}")).expect_err("wrong");
    assert_eq!(summary(&problems), "6002 errors");
}

#[test]
fn a_thousand_lines_are_read() {
    let mut long = String::from(
        "version: 1\nexperiment: long\nsteady_state:\n  users are served: {probe: http, with: {get: http://127.0.0.1:1}, baseline: {success: \">= 90%\"}}\n\
         targets: {replicas: {processes: {listening_on: 8001-8003}}}\nblast_radius: {duration: 1d, targets: {replicas: {at_most: 1}}}\nmethod:\n",
    );
    for _ in 0..500 {
        long.push_str("  - {inject: process.pause, into: replicas, pick: 1, for: 30s}\n  - wait: 5s\n");
    }
    let loaded = text("long.yaml", &long).unwrap_or_else(|problems| panic!("{}", render(&problems, false)));
    assert_eq!(loaded.experiment.method.len(), 1000);
    assert_eq!(summary(&loaded.warnings), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_a_panic(noise in "[ -~\n\t\u{e9}\u{2028}]{0,200}") {
        let _ = told(&noise);
        let _ = told(&format!("version: 1\nexperiment: x\nmethod: {noise}"));
    }

    #[test]
    fn no_damage_to_a_good_file_is_a_panic(at in 0usize..2000, noise in "[-:{}\\[\\],>!&*#$()\"' \n]{1,4}") {
        let mut good = include_str!("../corpus/language/01-frozen-replica.yaml").to_owned();
        let at = at.min(good.len());
        if good.is_char_boundary(at) {
            good.insert_str(at, &noise);
            let _ = told(&good);
        }
    }
}
