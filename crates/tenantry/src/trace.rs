//! The traces that requests and jobs belong to.
//!
//! With a job its trace is kept as text: an id, or where spans are exported a
//! [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header), which besides the id has the
//! span that the job's is a child of.

#[cfg_attr(not(feature = "opentelemetry"), path = "trace/unexported.rs")]
mod exported;

pub(crate) use exported::Exported;

/// Whether spans may be exported, and then have the trace that they are exported with.
pub(crate) const MAY_BE_EXPORTED: bool = cfg!(feature = "opentelemetry");

/// A span of somebody else's, by what a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent<'t> {
    /// 32 digits, in base 16 as the others.
    pub(crate) trace: &'t str,
    /// 16 digits.
    pub(crate) span: &'t str,
    /// Two digits.
    pub(crate) flags: &'t str,
}

impl<'t> Parent<'t> {
    /// None of what is no `traceparent` as a whole.
    pub(crate) fn read(text: &'t str) -> Option<Self> {
        let mut fields = text.split('-');
        let version = fields.next().filter(|version| is_hex(version, 2))?;
        let parent = Self {
            trace: fields.next().filter(|id| is_id(id, 32))?,
            span: fields.next().filter(|id| is_id(id, 16))?,
            flags: fields.next().filter(|flags| is_hex(flags, 2))?,
        };
        // later versions may have more, and 255 is none
        let is_one = match version {
            "00" => fields.next().is_none(),
            _ => version != "ff",
        };
        is_one.then_some(parent)
    }
}

/// The trace's id, of what is kept of it.
pub(crate) fn id_of(kept: &str) -> &str {
    Parent::read(kept).map_or(kept, |parent| parent.trace)
}

/// Whether that is an id of so many digits.
pub(crate) fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|digit| digit != b'0')
}

fn is_hex(text: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_taken_as_a_whole_or_not_at_all() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let whole = format!("00-{trace}-{span}-01");
        let flags = "01";
        let expected = Parent { trace, span, flags };
        assert_eq!(Parent::read(&whole), Some(expected));
        assert_eq!(
            Parent::read(&format!("cc-{trace}-{span}-01-more")),
            Some(expected)
        );
        assert_eq!(id_of(&whole), trace);
        for wrong in [
            String::new(),
            trace.into(),
            format!("00-{trace}"),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("0-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}-1"),
            "find-me-by-this".into(),
        ] {
            assert_eq!(Parent::read(&wrong), None, "{wrong}");
            assert_eq!(id_of(&wrong), wrong);
        }
    }
}
