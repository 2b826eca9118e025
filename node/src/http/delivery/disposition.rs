//! `Content-Disposition` of an answer (RFC 6266, RFC 8187).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 8187 lets stand as it is (`attr-char`), besides letters and digits.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Whether a browser shows a content or saves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// Show it.
    Inline,
    /// Save it.
    Attachment,
}

/// The header's value: always ASCII, whatever the name. Names beyond ASCII come twice, once for
/// programs that know RFC 8187 and once, with `_` for what they could not read, for the others.
pub(super) fn write(disposition: Disposition, filename: &str) -> String {
    let kind = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let plain: String = filename.chars().map(plain).collect();
    let quoted = plain.replace('\\', "\\\\").replace('"', "\\\"");
    if plain == filename && !filename.contains(['"', '\\', '%']) {
        format!("{kind}; filename=\"{quoted}\"")
    } else {
        let encoded = utf8_percent_encode(filename, ENCODED);
        format!("{kind}; filename=\"{quoted}\"; filename*=UTF-8''{encoded}")
    }
}

fn plain(c: char) -> char {
    if c.is_ascii_graphic() || c == ' ' {
        c
    } else {
        '_'
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{ContentDisposition, DispositionParam, HeaderValue};
    use proptest::prelude::{prop_assert_eq, proptest};

    // If this fails, downloads are saved under wrong names.
    #[test]
    fn names_are_written_for_old_and_new_programs() {
        let inline = |name| write(Disposition::Inline, name);
        assert_eq!(inline("a b.txt"), "inline; filename=\"a b.txt\"");
        assert_eq!(
            inline("été.txt"),
            "inline; filename=\"_t_.txt\"; filename*=UTF-8''%C3%A9t%C3%A9.txt"
        );
        assert_eq!(
            write(Disposition::Attachment, "a\"b\\c%41"),
            "attachment; filename=\"a\\\"b\\\\c%41\"; filename*=UTF-8''a%22b%5Cc%2541"
        );
    }

    proptest! {
        // If this fails, a file name forges a header, or is not the one that was uploaded.
        #[test]
        fn any_name_is_one_header_and_reads_back(name in "[^\\p{Cc}]{1,60}") {
            let text = write(Disposition::Inline, &name);
            let value = HeaderValue::try_from(text).expect("is a header");
            let read = ContentDisposition::from_raw(&value).expect("reads back");
            let extended = read.parameters.iter().find_map(|parameter| match parameter {
                DispositionParam::FilenameExt(value) => Some(value.value.clone()),
                _ => None,
            });
            let plain = read.get_filename().map(|name| name.as_bytes().to_vec());
            prop_assert_eq!(extended.or(plain), Some(name.into_bytes()));
        }
    }
}
