//! YAML to tree, within bounds: 1 MiB, 20,000 nodes, 64 deep; no tags, no merge keys, one document, no key twice.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span};

use super::diagnostic::{Diagnostic, Severity};
use super::repair;
use super::tree::{Data, Key, Node, Place, Source, Style};

/// The most nodes, counted with every alias written out.
pub(super) const NODES: usize = 20_000;
/// The deepest nesting, counted with every alias written out.
pub(super) const DEPTH: usize = 64;
/// So many mistakes of YAML are explained in one go.
const REPAIRS: usize = 20;

/// Takes a text apart. A mistake that is recognised is explained and repaired, so that the rest of the file can be read too.
pub(super) fn parse(source: &Source, file: u16) -> (Option<Node>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let mut text = source.text.clone();
    let mut repaired = Vec::new();
    loop {
        match Builder::new(source, &text, file).build() {
            Ok((mut node, duplicates)) => {
                problems.extend(duplicates);
                repair::restore(&mut node, &repaired);
                return (Some(node), problems);
            }
            Err(Stopped { place, message, hint }) => {
                let Some(found) = repair::recognise(source, &text, place.line).filter(|_| repaired.len() < REPAIRS) else {
                    problems.push(Diagnostic::at(source, place, Severity::Error, "yaml", message, hint));
                    return (None, problems);
                };
                let place = source.place(file, found.offset, found.length);
                problems.push(Diagnostic::at(source, place, Severity::Error, found.code, found.message.clone(), Some(found.hint.clone())));
                found.patch(&mut text);
                repaired.push(found);
            }
        }
    }
}

/// Why nothing more can be read.
struct Stopped {
    place: Place,
    message: String,
    hint: Option<String>,
}

struct Builder<'t> {
    source: &'t Source,
    text: &'t str,
    file: u16,
    /// Maps and lists that are still open.
    open: Vec<Open>,
    anchors: HashMap<usize, Measured>,
    nodes: usize,
    problems: Vec<Diagnostic>,
}

/// A map or list that is still open.
struct Open {
    data: Data,
    key: Option<Key>,
    /// The keys of a map so far, with the lines they are on.
    seen: HashMap<String, u32>,
    place: Place,
    anchor: usize,
    nodes: usize,
    height: usize,
}

/// A node, how many nodes it is, and how deep.
#[derive(Clone)]
struct Measured {
    node: Node,
    nodes: usize,
    height: usize,
}

impl<'t> Builder<'t> {
    fn new(source: &'t Source, text: &'t str, file: u16) -> Self {
        Self { source, text, file, open: Vec::new(), anchors: HashMap::new(), nodes: 0, problems: Vec::new() }
    }

    fn build(mut self) -> Result<(Node, Vec<Diagnostic>), Stopped> {
        let mut root: Option<Node> = None;
        for event in Parser::new_from_str_with_options(self.text, options()) {
            let (event, span) = event.map_err(|error| self.scan_error(&error))?;
            let place = self.place(span);
            if let Some(done) = self.take(event, place)? {
                if root.is_some() {
                    return Err(stop(
                        place,
                        "a second document begins here",
                        "a file holds one experiment: put the other into its own file",
                    ));
                }
                root = Some(done);
            }
        }
        let Some(root) = root else {
            let place = self.source.place(self.file, 0, 1);
            return Err(stop(place, "the file is empty", "begin with `version: 1` and `experiment: NAME`"));
        };
        Ok((root, self.problems))
    }

    /// Takes one event; a node when the document's root is complete.
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<Option<Node>, Stopped> {
        match event {
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, _, Some(_)) | Event::MappingStart(_, _, Some(_)) => Err(stop(
                place,
                "tags (`!…`) mean nothing in an experiment",
                "leave the tag out; a text that begins with `!` is put in quotes",
            )),
            Event::Scalar(text, style, anchor, None) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                    _ => Style::Quoted,
                };
                self.count(1, 1, place)?;
                let node = Node { data: Data::Scalar { text: text.into_owned(), style }, place };
                self.complete(Measured { node, nodes: 1, height: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, None) => self.begin(Data::List(Vec::new()), anchor, place),
            Event::MappingStart(_, anchor, None) => self.begin(Data::Map(Vec::new()), anchor, place),
            Event::SequenceEnd | Event::MappingEnd => self.end(place),
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor).cloned() else {
                    return Err(stop(place, "an alias stands inside what it refers to", "an anchor is complete before `*` may use it"));
                };
                self.count(target.nodes, target.height, place)?;
                self.complete(target, 0)
            }
            _ => Ok(None),
        }
    }

    fn count(&mut self, nodes: usize, height: usize, place: Place) -> Result<(), Stopped> {
        self.nodes += nodes;
        if self.nodes > NODES {
            let message = format!("more than {NODES} values, aliases counted as often as they are used");
            return Err(stop(place, &message, "a method this long is better written as several experiments"));
        }
        if self.open.len() + height > DEPTH {
            return Err(stop(place, &format!("nested deeper than {DEPTH}"), "experiments need about eight levels"));
        }
        Ok(())
    }

    fn begin(&mut self, data: Data, anchor: usize, place: Place) -> Result<Option<Node>, Stopped> {
        self.count(1, 1, place)?;
        self.open.push(Open { data, key: None, seen: HashMap::new(), place, anchor, nodes: 1, height: 0 });
        Ok(None)
    }

    fn end(&mut self, place: Place) -> Result<Option<Node>, Stopped> {
        let Some(open) = self.open.pop() else {
            return Err(stop(place, "something ends here that did not begin", "check the brackets"));
        };
        let node = Node { data: open.data, place: open.place };
        self.complete(Measured { node, nodes: open.nodes, height: open.height + 1 }, open.anchor)
    }

    fn complete(&mut self, measured: Measured, anchor: usize) -> Result<Option<Node>, Stopped> {
        if anchor != 0 {
            self.anchors.insert(anchor, measured.clone());
        }
        let Some(open) = self.open.last_mut() else { return Ok(Some(measured.node)) };
        open.nodes += measured.nodes;
        open.height = open.height.max(measured.height);
        match (&mut open.data, open.key.take()) {
            (Data::List(items), _) => items.push(measured.node),
            (Data::Map(entries), Some(key)) => entries.push((key, measured.node)),
            (Data::Map(_), None) => {
                let place = measured.node.place;
                let Data::Scalar { text, style } = measured.node.data else {
                    return Err(stop(place, "a list or a map stands where a key is expected", "a key is a word: `every: 20ms`"));
                };
                if text == "<<" && style == Style::Plain {
                    return Err(stop(
                        place,
                        "merge keys (`<<`) are not used here",
                        "write the keys out, or use an alias for a whole value",
                    ));
                }
                if let Some(first) = open.seen.get(&text) {
                    let message = format!("`{text}` stands here a second time");
                    let hint = format!("the first is in line {first}: keep one");
                    self.problems.push(Diagnostic::at(self.source, place, Severity::Error, "duplicate-key", message, Some(hint)));
                }
                open.seen.entry(text.clone()).or_insert(place.line);
                open.key = Some(Key { text, place });
            }
            (Data::Scalar { .. }, _) => {}
        }
        Ok(None)
    }

    fn place(&self, span: Span) -> Place {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let offset = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(offset).max(offset);
        Place {
            file: self.file,
            offset: small(offset),
            length: small(end - offset),
            line: small(span.start.line()),
            column: small(span.start.col() + 1),
        }
    }

    fn scan_error(&self, error: &ScanError) -> Stopped {
        let marker = error.marker();
        let place = self.place(Span::empty(*marker));
        let (message, hint) = match error.kind() {
            ErrorKind::RecursionLimitExceeded => (format!("nested deeper than {DEPTH}"), Some("experiments need about eight levels")),
            ErrorKind::UnknownAnchor => ("this alias refers to nothing".to_owned(), Some("a `*` in front of a text wants quotes")),
            ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
                ("a quote is opened and never closed".to_owned(), None)
            }
            ErrorKind::UnclosedFlowCollection { open } => (format!("a `{open}` is never closed"), None),
            _ if error.info().contains(" tab") || error.info().starts_with("tab") => {
                ("a tab stands where YAML wants spaces".to_owned(), Some("indent with spaces"))
            }
            _ if error.info().contains("mapping values are not allowed") => {
                ("YAML reads `: ` here as the end of a key".to_owned(), Some("put the whole value in quotes: it holds `: `"))
            }
            _ => (format!("not YAML: {}", error.info()), None),
        };
        Stopped { place, message, hint: hint.map(str::to_owned) }
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = DEPTH;
    options.block_nesting_limit = DEPTH;
    options
}

fn stop(place: Place, message: &str, hint: &str) -> Stopped {
    Stopped { place, message: message.to_owned(), hint: Some(hint.to_owned()) }
}
