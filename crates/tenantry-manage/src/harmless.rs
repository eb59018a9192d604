//! Names and addresses come from people whom the operator does not know, and end on the operator's
//! terminal.

use std::borrow::Cow;

/// The text with nothing in it that would steer a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.replace(steers, "\u{fffd}")
}

/// JSON that says the same, with what would steer a terminal escaped. Such characters can only
/// stand in its strings.
pub(crate) fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(steers) {
        return json.into();
    }
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if steers(char) {
            text.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            text.push(char);
        }
    }
    text.into()
}

/// Control characters, and those that turn the direction of writing.
fn steers(char: char) -> bool {
    (char.is_control() && char != '\n' && char != '\t')
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &str = "a\u{1b}[2J\u{9b}b\u{202e}c\u{7f}\n\td";

    #[test]
    fn what_steers_is_shown_as_such() {
        assert_eq!(
            harmless(EVIL),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}\n\td"
        );
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = serde_json::to_string_pretty(&[EVIL]).unwrap();
        let escaped = escaped(&json);
        assert!(!escaped.contains(steers));
        let read: Vec<String> = serde_json::from_str(&escaped).unwrap();
        assert_eq!(read, [EVIL]);
    }
}
