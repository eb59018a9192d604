/// What a file is, told from its first bytes and from nothing that anybody says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileKind(&'static str);

/// How many bytes at the beginning are looked at.
pub(super) const LOOKED_AT: usize = 8 * 1024;

/// What a browser may show within a tenant's pages. Everything else could hold a script, or is
/// nothing that a browser shows.
const SHOWN: &[&str] = &[
    "application/pdf",
    "audio/mpeg",
    "audio/ogg",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "video/mp4",
    "video/webm",
];

impl FileKind {
    /// Of a file that begins so.
    #[must_use]
    pub fn of(beginning: &[u8]) -> Self {
        let looked_at = &beginning[..beginning.len().min(LOOKED_AT)];
        Self(infer::get(looked_at).map_or("application/octet-stream", |kind| kind.mime_type()))
    }

    /// Its media type, such as `image/png`; `application/octet-stream` where nobody can tell.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether a browser may show it within a tenant's pages: pictures, films, sound and PDF, but
    /// nothing that could hold a script, as HTML and SVG do.
    #[must_use]
    pub fn is_shown(self) -> bool {
        SHOWN.contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::FileKind;

    #[test]
    fn a_kind_is_told_from_what_is_there() {
        let kinds = [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/png", true),
            (b"\xff\xd8\xff\xe0", "image/jpeg", true),
            (b"%PDF-1.7", "application/pdf", true),
            (b"<!DOCTYPE html><script>", "text/html", false),
            (b"just words", "application/octet-stream", false),
            (b"", "application/octet-stream", false),
        ];
        for (bytes, kind, shown) in kinds {
            let told = FileKind::of(bytes);
            assert_eq!((told.as_str(), told.is_shown()), (kind, shown));
        }
        let svg = FileKind::of(b"<svg xmlns='http://www.w3.org/2000/svg'/>");
        assert!(!svg.is_shown(), "{svg:?}");
    }
}
