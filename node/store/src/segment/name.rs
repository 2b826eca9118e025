//! The names of a log's files: `{first lsn}-{generation}.seg` and `.idx`, in hexadecimal.

use std::path::{Path, PathBuf};

use wire::Lsn;

/// The parts of a segment file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) first: Lsn,
    pub(crate) generation: u32,
}

/// What ends the name of a file that is not whole yet; recovery removes such files.
pub(crate) const TEMPORARY: &str = ".tmp";

impl SegmentName {
    /// Reads the name of a segment file; none for any other file.
    pub(crate) fn parse(name: &str) -> Option<SegmentName> {
        let (first, generation) = name.strip_suffix(".seg")?.split_once('-')?;
        let parsed = SegmentName {
            first: Lsn(u64::from_str_radix(first, 16).ok()?),
            generation: u32::from_str_radix(generation, 16).ok()?,
        };
        // One segment, one name: leading signs and other spellings are not ours.
        (parsed.file() == name).then_some(parsed)
    }

    pub(crate) fn file(self) -> String {
        format!("{:016x}-{:08x}.seg", self.first.0, self.generation)
    }

    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.file())
    }

    pub(crate) fn index_path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{:016x}-{:08x}.idx", self.first.0, self.generation))
    }

    /// The path under which a file is written before it is whole.
    pub(crate) fn temporary_path(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(TEMPORARY);
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a restart does not find its own files.
    #[test]
    fn names_are_read_back_and_others_are_not() {
        let name = SegmentName {
            first: Lsn(0xabc),
            generation: 3,
        };
        assert_eq!(name.file(), "0000000000000abc-00000003.seg");
        assert_eq!(SegmentName::parse(&name.file()), Some(name));
        for other in [
            "abc-3.seg",
            "0000000000000abc-00000003.idx",
            "x",
            "+000000000000abc-00000003.seg",
        ] {
            assert_eq!(SegmentName::parse(other), None);
        }
    }
}
