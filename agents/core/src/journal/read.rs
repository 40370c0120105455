//! Reading a journal: what is left to take back, and what cannot be known any more.
//!
//! # Guarantees
//! - Every undo whose record is whole is found, whatever stands before or after it.
//! - A last line that broke off is no damage: its writer died before anything was done by it.
//! - Anything else that is no record, or cannot follow what came before, is *named* damage, and damage is residue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::frame::{Garbage, Piece, scan};
use super::record::{DAMAGE, Intent, JOURNAL_VERSION, Record, Status, Writer, next_status};

/// What a journal says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// Whose it is; none if that line is damaged or missing.
    pub writer: Option<Writer>,
    /// Who wrote in it last: the executor, or a recovering one.
    pub holder: Option<Writer>,
    /// The plan's hash.
    pub plan: Option<String>,
    /// Its injections, in the order in which they were intended.
    pub entries: Vec<Entry>,
    /// What cannot be read.
    pub damage: Vec<Damage>,
    /// Why a person decided to let the damage be.
    pub damage_forgotten: Option<String>,
    /// The last line broke off.
    pub torn: bool,
    /// It says that nothing is in force any more.
    pub finished: bool,
    /// The number that the next record takes.
    pub next_seq: u64,
}

/// One injection.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What taking it back needs.
    pub intent: Intent,
    /// Where it is.
    pub status: Status,
    /// What was found when it was given up.
    pub finding: Option<String>,
}

/// A part of a journal that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The journal was written by a newer `chaos`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal of run {run} has version {version}, written by chaos {chaos}; this one reads up to {JOURNAL_VERSION}")]
pub struct TooNew {
    /// The run.
    pub run: String,
    /// The version found.
    pub version: u32,
    /// The `chaos` that wrote it.
    pub chaos: String,
}

impl Contents {
    /// Reads a journal's bytes. Never fails: what cannot be read is named.
    ///
    /// # Errors
    /// If it is of a newer version, whose records might mean something else.
    pub fn read(bytes: &[u8]) -> Result<Self, TooNew> {
        let mut fold = Fold::default();
        for piece in scan(bytes) {
            match piece {
                Piece::Garbage(garbage) => fold.garbage(garbage),
                Piece::Whole(framed) => fold.record(framed.seq, framed.record, framed.line)?,
            }
        }
        fold.settle_suspect();
        let mut contents = fold.contents;
        contents.next_seq = fold.last_seq.map_or(0, |seq| seq + 1);
        if contents.writer.is_none() && (!contents.entries.is_empty() || !contents.damage.is_empty()) {
            contents.damage.insert(0, Damage { line: 1, what: "the line that says whose journal this is cannot be read".into() });
        }
        Ok(contents)
    }

    /// Injections that are still to be taken back, in the order in which they were intended.
    pub fn open_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| !e.status.is_over())
    }

    /// Slots of the injections that are taken back.
    #[must_use]
    pub fn reverted(&self) -> Vec<String> {
        self.entries.iter().filter(|e| e.status == Status::Reverted).map(|e| e.intent.slot.clone()).collect()
    }

    /// Damage that nobody has decided about.
    #[must_use]
    pub fn open_damage(&self) -> &[Damage] {
        if self.damage_forgotten.is_some() { &[] } else { &self.damage }
    }

    /// Is there nothing left to do?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.open_damage().is_empty() && self.open_entries().next().is_none()
    }
}

#[derive(Default)]
struct Fold {
    contents: Contents,
    places: BTreeMap<String, usize>,
    last_seq: Option<u64>,
    /// Garbage that is damage unless the next record says that it was a torn tail.
    suspect: Option<Garbage>,
}

impl Fold {
    fn garbage(&mut self, garbage: Garbage) {
        self.settle_suspect();
        if garbage.unfinished {
            self.contents.torn = true;
        } else {
            self.suspect = Some(garbage);
        }
    }

    fn settle_suspect(&mut self) {
        if let Some(garbage) = self.suspect.take() {
            self.damage(garbage.line, format!("no record can be read at byte {}: {}", garbage.offset, garbage.what));
        }
    }

    fn damage(&mut self, line: usize, what: String) {
        self.contents.damage.push(Damage { line, what });
    }

    fn record(&mut self, seq: u64, record: Record, line: usize) -> Result<(), TooNew> {
        if record == Record::TornTail {
            self.suspect = None;
        }
        self.settle_suspect();
        match self.last_seq {
            Some(last) if seq <= last => {
                self.damage(line, format!("record {seq} stands after record {last}; it is not followed"));
                return Ok(());
            }
            Some(last) if seq > last + 1 => self.damage(line, format!("records {} to {} are missing", last + 1, seq - 1)),
            None if seq > 0 => self.damage(line, format!("records 0 to {} are missing", seq - 1)),
            _ => {}
        }
        self.last_seq = Some(seq);
        self.follow(record, line)
    }

    fn follow(&mut self, record: Record, line: usize) -> Result<(), TooNew> {
        if self.contents.finished && !matches!(record, Record::Reopened(_)) {
            self.damage(line, "something stands after the end".into());
        }
        match record {
            Record::Identity(writer) => {
                self.hold(&writer)?;
                self.contents.writer.get_or_insert(*writer);
            }
            // Whoever goes on with it says nothing about where its undos hold.
            Record::Reopened(writer) => self.hold(&writer)?,
            Record::Approved { plan } => self.contents.plan = Some(plan),
            Record::TornTail => {}
            Record::Finished => self.contents.finished = true,
            Record::Forgotten { slot, because } if slot == DAMAGE => self.contents.damage_forgotten = Some(because),
            other => self.step(other, line),
        }
        Ok(())
    }

    fn hold(&mut self, writer: &Writer) -> Result<(), TooNew> {
        if writer.journal > JOURNAL_VERSION {
            return Err(TooNew { run: writer.run.clone(), version: writer.journal, chaos: writer.chaos.clone() });
        }
        self.contents.holder = Some(writer.clone());
        Ok(())
    }

    fn step(&mut self, record: Record, line: usize) {
        let Some(slot) = record.slot().map(str::to_owned) else { return };
        let place = self.places.get(&slot).copied();
        let now = place.map(|p| self.contents.entries[p].status);
        match (next_status(now, &record), place) {
            (Ok(status), None) => {
                if let Record::Intended(intent) = record {
                    self.places.insert(slot, self.contents.entries.len());
                    self.contents.entries.push(Entry { intent: *intent, status, finding: None });
                }
            }
            (Ok(status), Some(place)) => {
                let entry = &mut self.contents.entries[place];
                entry.status = status;
                if let Record::Residue { finding, .. } = record {
                    entry.finding = Some(finding);
                }
            }
            (Err(_), _) => self.damage(line, format!("this cannot happen to {slot} now; its intent may be lost")),
        }
    }
}
