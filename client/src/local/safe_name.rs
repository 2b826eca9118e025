//! File names that come from the cluster, made safe for this machine.
//!
//! A stored name is whatever its uploader chose: `../../x`, `C:\x`, a whole path. What is written
//! here is always one plain name inside the folder that the user chose.

/// A name's length in bytes: below every file system's 255, with room for a suffix.
const NAME_BYTES_MAX: usize = 200;

/// Endings are kept when a name is cut, up to this length in bytes.
const ENDING_BYTES_MAX: usize = 16;

/// The plain name to write a content under that is stored as `stored`: its last component, without
/// what a file system or a terminal could take for something else; `fallback` if nothing is left.
pub fn safe_file_name(stored: &str, fallback: &str) -> String {
    let last = stored
        .rsplit(['/', '\\'])
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    let plain: String = last
        .chars()
        .map(|c| if is_tricky(c) { '_' } else { c })
        .collect();
    // Windows drops dots and spaces at the end: `..` and `a.` would name something else there.
    let plain = plain.trim_end_matches(['.', ' ']);
    if plain.is_empty() {
        fallback.to_owned()
    } else {
        shortened(plain)
    }
}

fn is_tricky(c: char) -> bool {
    let reserved = matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    // Marks that turn the direction of writing make `exe.txt` of `txt.exe`.
    let direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    reserved || direction || c.is_control()
}

fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let ending = match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= ENDING_BYTES_MAX => &name[dot..],
        _ => "",
    };
    let stem = &name[..name.floor_char_boundary(NAME_BYTES_MAX - ending.len())];
    format!("{stem}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};
    use std::path::{Component, Path};

    // If this fails, a stored name decides where on the disk a download is written.
    #[test]
    fn paths_are_cut_to_their_last_name() {
        for (stored, written) in [
            ("a.txt", "a.txt"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("C:\\Windows\\x.dll", "x.dll"),
            ("a/b/", "b"),
            ("C:x", "C_x"),
            (".bashrc", ".bashrc"),
            ("été 🎉.txt", "été 🎉.txt"),
            ("a\u{202e}txt.exe", "a_txt.exe"),
            ("a\0b\r\n", "a_b__"),
            ("x. . ", "x"),
        ] {
            assert_eq!(safe_file_name(stored, "id"), written, "{stored:?}");
        }
        for stored in ["", ".", "..", "../..", "/", "\\", ". ."] {
            assert_eq!(safe_file_name(stored, "id"), "id", "{stored:?}");
        }
    }

    // If this fails, a long name cannot be downloaded at all, or loses its ending.
    #[test]
    fn long_names_are_cut_and_keep_their_ending() {
        let cut = safe_file_name(&format!("{}.tar", "é".repeat(500)), "id");
        assert!(
            cut.len() <= NAME_BYTES_MAX && cut.ends_with("é.tar"),
            "{cut}"
        );
        let cut = safe_file_name(&format!("a.{}", "x".repeat(1000)), "id");
        assert_eq!(cut.len(), NAME_BYTES_MAX);
    }

    proptest! {
        // If this fails, some hostile name escapes the chosen folder.
        #[test]
        fn every_name_is_one_plain_component(stored in "\\PC{0,300}|[./\\\\ ]{0,20}|.{0,40}") {
            let name = safe_file_name(&stored, "id");
            prop_assert!(name.len() <= 255 && !name.is_empty());
            let parts: Vec<_> = Path::new(&name).components().collect();
            prop_assert!(matches!(parts[..], [Component::Normal(part)] if part == name.as_str()));
        }
    }
}
