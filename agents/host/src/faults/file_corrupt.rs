//! `file.corrupt`: a file is shorter, wrong, gone, or another one.
//!
//! ```text
//! truncate, flip   the original is copied to the vault, then damaged where it lies: whoever has it mapped sees it
//! delete           the original itself moves to the vault
//! replace          the replacement is laid in the vault, then the two change places at one moment
//! ```

mod damage;
mod in_place;
mod moved;
mod standing;

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal::Size;
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::damage::Damage;
use super::failed;
use crate::cgroup::quoted;
use crate::disk::Disk;
use crate::file::{Held, Kept, Place, Root, Times, Vault, copy_belongings, copy_content, dress, open_folder, seen_by};
use crate::world::{Host, HostView};

/// Damages a file.
pub(crate) struct FileCorrupt;

/// What is done to it. Exactly one of these.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Cut to this length, as by a write that stopped half-way: `0 B` leaves an empty file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) truncate: Option<Size>,
    /// So many bytes are changed, at random places, at most 1 MiB; length and times stay, as when a disk forgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) flip: Option<Size>,
    /// It is gone. Who has it open still reads it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) delete: bool,
    /// Another file lies in its place: a copy of this one (`$(dir)/broken.bin`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replace: Option<PathBuf>,
}

/// How the original comes back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1(Corruption),
}

/// A file, what is done to it, and where its original waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Corruption {
    place: Place,
    original: Original,
    vault: Vault,
    damage: Damage,
}

/// What is known of the original.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Original {
    inode: u64,
    size: u64,
    times: Times,
}

impl Original {
    fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { inode: meta.ino(), size: meta.len(), times: Times::of(&meta) })
    }
}

impl Fault for FileCorrupt {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "file.corrupt";

    fn profile(&self) -> Profile {
        Profile {
            summary: "damages a file: cut, bytes changed, gone, or another one in its place",
            about: "The original is kept first, in a folder `.chaos-RUN` that is ours alone: on the same file system, and above the file's own \
                folder, where its reader does not look. Cutting and changing bytes happen in place, so that whoever has the file mapped \
                sees it; deleting and replacing move the original aside, whole, so that it comes back as it was, inode and all.\n\n\
                Nothing happens until somebody reads the file: the fault is latent until then. Taken back with owner, mode, times and \
                extended attributes, unless the system has written to the file since: then its own writing is kept, and so is the original, and the \
                report says where.",
            example: "inject: file.corrupt\ninto: weights\nwith: {flip: 64 B}\nmeanwhile:\n  - {run: systemctl restart ranker}\n  - {wait: 30s}",
            takes: &["files"],
            facets: &[Facet::Path],
            privileges: "may write to the file and to a folder above its own",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::Durable,
            latent: true,
            second_net: SecondNet::Stamp,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(10),
            rampable: &[],
            class: Class::File,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        let asked = [spec.truncate.is_some(), spec.flip.is_some(), spec.delete, spec.replace.is_some()];
        let mut errors = Vec::new();
        if asked.iter().filter(|is| **is).count() != 1 {
            errors.push(
                SpecError::new("", "exactly one of `truncate`, `flip`, `delete` and `replace` says what is done to the file")
                    .hint("for example `with: {flip: 64 B}`"),
            );
        }
        if spec.flip.is_some_and(|n| n.bytes() == 0 || n.bytes() > damage::MOST_FLIPS) {
            errors.push(SpecError::new("flip", "from 1 byte to 1 MiB can be changed").hint("for example `64 B`"));
        }
        if spec.replace.as_deref().is_some_and(Path::is_relative) {
            errors.push(SpecError::new("replace", "the path must be absolute").hint("`$(dir)/broken.bin` is beside the experiment"));
        }
        errors
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let path = target.facets.path.clone().ok_or_else(|| FaultError::new(format!("{} is not a file", target.label)))?;
        let (place, from_image) = place_of(&path, target)?;
        let path = place.path();
        if place.root.is_none()
            && let Some(why) = view.protected_path(&path)
        {
            return Err(FaultError::new(format!("{} is never damaged: {why}", path.display())));
        }
        let _held = hold(&place)?;
        let wrong = |e: std::io::Error| failed(&format!("open {}", path.display()), &e);
        let file = place.open(false).map_err(wrong)?;
        let file = file.ok_or_else(|| FaultError::gone(format!("there is no file {}", path.display())))?;
        let meta = file.metadata().map_err(wrong)?;
        if !meta.is_file() {
            return Err(
                FaultError::new(format!("{} is not a regular file", path.display())).hint("a pattern selects the files of a folder")
            );
        }
        let original = Original::of(&file).map_err(wrong)?;
        let damage = Damage::choose(spec, &file, &original, id)?;
        let vault = Vault::choose(&place, &id.run, &id.slot).map_err(|e| failed("find a place for the original", &e))?;
        let corruption = Corruption { place, original, vault, damage };
        corruption.fits(&path)?;
        let kept = format!("the original is kept in {}", corruption.vault.place.path().display());
        // A file has one inode under all its names.
        let inode = format!("inode:{}:{}", meta.dev(), meta.ino());
        let whose = corruption.place.root.as_ref().map(Root::name).unwrap_or_default();
        let claim = format!("file:{whose}{}", path.display());
        let mut prepared = Prepared::new(Undo::V1(corruption.clone())).claim(claim).claim(inode).note(kept);
        if let Some(seconds) = corruption.slow_repair() {
            prepared = prepared.note(format!("taking it back reads the whole file and its copy: some {seconds} s"));
        }
        if meta.nlink() > 1 {
            prepared = prepared.note(format!("the file has {} names, and is damaged under all of them", meta.nlink()));
        }
        if from_image {
            prepared = prepared.note("it stays in the container's own layer, also where it came from the image");
        }
        Ok(prepared)
    }

    async fn stage(&self, armed: &Armed<Undo>, _: &Host) -> Result<(), FaultError> {
        let Undo::V1(corruption) = armed.undo();
        let _held = hold(&corruption.place)?;
        let vault = &corruption.vault;
        let stamp = serde_json::json!({"kind": Self::KIND, "undo": armed.undo()}).to_string();
        let wrong = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::Interrupted => FaultError::cancelled(),
            _ => failed(&format!("keep the original of {}", corruption.place.path().display()), &e),
        };
        vault.put(Kept::Stamp, |file| std::io::Write::write_all(file, stamp.as_bytes())).map_err(wrong)?;
        let (source, kept) = match &corruption.damage {
            Damage::Truncate { .. } | Damage::Flip { .. } => (corruption.unchanged(false)?, Kept::Original),
            Damage::Replace { with, .. } => (File::open(with).map_err(wrong)?, Kept::Replacement),
            Damage::Delete => return Ok(()),
        };
        let (owner, times) = (corruption.unchanged(false)?, corruption.original.times);
        vault
            .put(kept, |file| {
                copy_content(&source, file, || !armed.cancelled())?;
                if kept == Kept::Replacement { dress(file, &owner, times) } else { copy_belongings(&source, file) }
            })
            .map_err(wrong)
    }

    async fn inject(&self, armed: Armed<Undo>, _: &Host) -> Result<Observed, FaultError> {
        let Undo::V1(corruption) = armed.undo();
        let _held = hold(&corruption.place)?;
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        match &corruption.damage {
            Damage::Truncate { .. } | Damage::Flip { .. } => in_place::damage(corruption)?,
            Damage::Delete | Damage::Replace { .. } => moved::damage(corruption)?,
        }
        Ok(Observed::note(format!("{}: {}", corruption.place.path().display(), corruption.damage)))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1(corruption) = undo;
        let looked = match corruption.place.hold() {
            Ok(None) => return Ok(Presence::none().finding("the container is gone, and the file with it")),
            Ok(Some(_held)) => corruption.inspect(),
            Err(error) => Err(error),
        };
        looked.map_err(|e| failed(&format!("look at {}", corruption.place.path().display()), &e))
    }

    async fn revert(&self, undo: &Undo, _: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1(corruption) = undo;
        let wrong = |e: std::io::Error| {
            failed(&format!("restore {}", corruption.place.path().display()), &e)
                .hint(format!("its original is {}", corruption.vault.path(corruption.damage.kept()).display()))
        };
        let Some(_held) = corruption.place.hold().map_err(wrong)? else {
            return Ok(Reverted::note("the container is gone, and the file and its original with it"));
        };
        let outcome = match &corruption.damage {
            Damage::Truncate { .. } | Damage::Flip { .. } => in_place::restore(corruption),
            Damage::Delete | Damage::Replace { .. } => moved::restore(corruption),
        };
        let restored = outcome.map_err(wrong)?;
        corruption.vault.clear(restored.spared).map_err(wrong)?;
        Ok(restored.reverted)
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1(Corruption { place, vault, damage, .. }) = undo;
        let path = quoted(&place.by_hand());
        let original = quoted(&vault.by_hand(Kept::Original));
        let back = match damage {
            Damage::Truncate { .. } | Damage::Flip { .. } => format!("cp -a {original} {path}"),
            Damage::Delete => format!("mv -n {original} {path}"),
            Damage::Replace { .. } => format!("mv {} {path}", quoted(&vault.by_hand(Kept::Replacement))),
        };
        // Another injection of the run may keep its originals there too.
        let ours = [Kept::Original, Kept::Replacement, Kept::Stamp].map(|kept| quoted(&vault.by_hand(kept))).join(" ");
        let folder = quoted(&vault.place.by_hand());
        vec![format!("{back} && rm -f {ours} && rmdir --ignore-fail-on-non-empty {folder}")]
    }
}

impl Corruption {
    /// The file, if it is still the one that was looked at.
    fn unchanged(&self, writable: bool) -> Result<File, FaultError> {
        let path = self.place.path();
        let file = self.place.open(writable).map_err(|e| failed(&format!("open {}", path.display()), &e))?;
        let file = file.ok_or_else(|| FaultError::gone(format!("{} is gone", path.display())))?;
        let now = Original::of(&file).map_err(|e| failed(&format!("look at {}", path.display()), &e))?;
        let same = (now.inode, now.size, now.times.modified) == (self.original.inode, self.original.size, self.original.times.modified);
        if same { Ok(file) } else { Err(FaultError::new(format!("{} was changed since it was looked at", path.display()))) }
    }

    /// How many seconds a repair takes that takes longer than the budget; as a cautious disk reads and compares.
    fn slow_repair(&self) -> Option<u64> {
        const BYTES_PER_SECOND: u64 = 100_000_000;
        let copied = matches!(self.damage, Damage::Truncate { .. } | Damage::Flip { .. });
        Some(self.original.size / BYTES_PER_SECOND).filter(|seconds| copied && *seconds > 10)
    }

    /// Is there room for what will be kept beside it?
    fn fits(&self, path: &Path) -> Result<(), FaultError> {
        const SPARE: u64 = 1 << 20;
        let needed = match &self.damage {
            Damage::Truncate { .. } | Damage::Flip { .. } => self.original.size,
            Damage::Replace { size, .. } => *size,
            Damage::Delete => 0,
        };
        let place = &self.place;
        let folder = open_folder(place.root.as_ref(), &place.folder, rustix::fs::OFlags::RDONLY).and_then(|folder| Disk::of_open(&folder));
        let free = folder.map_err(|e| failed(&format!("look at the file system of {}", path.display()), &e))?.free(false);
        if needed + SPARE > free {
            return Err(FaultError::new(format!(
                "keep the original of {}: {} are needed on its file system, and {} are free",
                path.display(),
                Size::from_bytes(needed + SPARE),
                Size::from_bytes(free)
            ))
            .hint("`delete: true` needs no room: the original is only moved"));
        }
        Ok(())
    }

    fn inspect(&self) -> std::io::Result<Presence> {
        let Some(file) = self.place.open(false)? else {
            let deleted = self.damage == Damage::Delete && self.vault.get(Kept::Original)?.is_some();
            return Ok(if deleted { Presence::whole() } else { Presence::none().finding("the file is gone") });
        };
        let in_place = matches!(self.damage, Damage::Truncate { .. } | Damage::Flip { .. });
        let backup = if in_place { self.vault.get(Kept::Original)? } else { None };
        self.damage.inspect(&file, backup.as_ref(), &self.original)
    }
}

/// How a restore went.
struct Restored {
    reverted: Reverted,
    /// What stays in the vault: an original that did not come back whole may be the only one there is.
    spared: Option<Kept>,
}

impl Restored {
    /// The original is back, or was never away.
    fn whole() -> Self {
        Self { reverted: Reverted::default(), spared: None }
    }

    fn noting(self, what: &str) -> Self {
        Self { reverted: Reverted::note(what), ..self }
    }

    /// Somebody has written meanwhile: that stays. Whether it makes the original worthless is for a person to say.
    fn newer(corruption: &Corruption) -> Self {
        let kept = corruption.damage.kept();
        let path = corruption.vault.path(kept);
        let note = format!("kept the newer file that the system has written since; the original stays in {}", path.display());
        Self { reverted: Reverted::note(note), spared: Some(kept) }
    }
}

/// Where the file is, and whether writing to it makes it a part of a container's own layer.
fn place_of(path: &Path, target: &Target) -> Result<(Place, bool), FaultError> {
    let Some(process) = target.facets.process else {
        return Ok((named(None, path)?, false));
    };
    let gone = || FaultError::gone(format!("{} is gone", target.label));
    let seen = seen_by(process, path).map_err(|e| failed(&format!("look at {}", target.label), &e))?.ok_or_else(gone)?;
    if seen.read_only {
        return Err(FaultError::new(format!("{} lies where nothing can be written: it is mounted to be read only", target.label))
            .hint("name a file on a volume; what cannot be written cannot be damaged either"));
    }
    let layered = matches!(seen.root, Some(Root::Layers { .. }));
    Ok((named(seen.root.as_ref(), &seen.path)?, layered))
}

/// A name that is text, in a folder reached without links.
fn named(root: Option<&Root>, path: &Path) -> Result<Place, FaultError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Err(FaultError::new(format!("{} has no name that could be written down", path.display())));
    };
    Place::of(root, folder, name).map_err(|e| failed(&format!("open {}", folder.display()), &e))
}

/// The tree of files, for as long as something is done in it.
fn hold(place: &Place) -> Result<Option<Held>, FaultError> {
    match place.hold() {
        Ok(Some(held)) => Ok(held),
        Ok(None) => Err(FaultError::gone("the container is gone, and the file with it")),
        Err(error) => Err(failed(&format!("reach {}", place.path().display()), &error)),
    }
}
