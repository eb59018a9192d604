/// What a new password must be like: of some length, not among those that are tried first, and
/// not what everybody knows of its owner. No rule asks for kinds of characters, which make
/// passwords worse
/// ([NIST SP 800-63B](https://pages.nist.gov/800-63-4/sp800-63b.html), section 3.1.1.2).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PasswordRules {
    /// How many characters it has at least. 8.
    pub shortest: usize,
    /// How many characters it has at most. 128.
    pub longest: usize,
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            shortest: 8,
            longest: 128,
        }
    }
}

/// Why a password is not taken. It reads on after the field's name: "must have …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WeakPassword {
    /// It is too short.
    #[error("must have at least {0} characters")]
    Short(usize),
    /// It is too long.
    #[error("must have at most {0} characters")]
    Long(usize),
    /// It is one of those that are tried first.
    #[error("is one of the passwords that are tried first")]
    Common,
    /// It is the address or the name of whose it is.
    #[error("must not be your name or address")]
    Personal,
}

impl PasswordRules {
    /// Checks a new password. `known` is what everybody may know of its owner: address, names.
    ///
    /// ```
    /// use tenantry::users::{PasswordRules, WeakPassword};
    ///
    /// let rules = PasswordRules::default();
    /// assert_eq!(rules.check("correct horse battery", &["ann@example.com"]), Ok(()));
    /// assert_eq!(rules.check("Password1", &[]), Err(WeakPassword::Common));
    /// assert_eq!(rules.check("ann@example.com", &["ann@example.com"]), Err(WeakPassword::Personal));
    /// ```
    ///
    /// # Errors
    /// As [`WeakPassword`] has them.
    pub fn check(&self, password: &str, known: &[&str]) -> Result<(), WeakPassword> {
        let length = password.chars().count();
        if length < self.shortest {
            return Err(WeakPassword::Short(self.shortest));
        }
        if length > self.longest {
            return Err(WeakPassword::Long(self.longest));
        }
        let lower = password.to_lowercase();
        if is_common(&lower) {
            return Err(WeakPassword::Common);
        }
        let personal = known
            .iter()
            .map(|known| known.to_lowercase())
            .flat_map(|known| {
                let local = known.split('@').next().unwrap_or_default().to_owned();
                [local, known]
            })
            .any(|known| !known.is_empty() && undecorated(&lower) == undecorated(&known));
        if personal {
            return Err(WeakPassword::Personal);
        }
        Ok(())
    }
}

/// In the list, with digits and signs after it or without; or one character over and over.
fn is_common(lower: &str) -> bool {
    let bare = undecorated(lower);
    let mut characters = lower.chars();
    let first = characters.next();
    characters.all(|other| Some(other) == first)
        || COMMON.binary_search(&lower).is_ok()
        || COMMON.binary_search(&bare).is_ok()
}

/// Without the digits and signs that people put after a word; unless there is nothing else.
fn undecorated(text: &str) -> &str {
    let bare = text.trim_end_matches(|c: char| !c.is_alphabetic());
    if bare.is_empty() { text } else { bare }
}

/// In lower case and sorted. Those shorter than eight characters matter with digits after them.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "0123456789", "0987654321", "11111111", "11223344", "123123123", "12341234", "12344321",
    "12345678", "123456789", "1234567890", "1q2w3e4r", "1q2w3e4r5t", "1qaz2wsx", "87654321",
    "987654321", "a1b2c3d4", "abc", "abc12345", "abcd1234", "abcdefg", "abcdefgh", "access",
    "admin", "admin123", "administrator", "adobe", "adobe123", "amanda", "andrew", "android",
    "angel", "angels", "anthony", "arsenal", "asdasdasd", "asdf1234", "asdfghjk", "asdfghjkl",
    "ashley", "autumn", "azerty", "azertyuiop", "baby", "babygirl", "bailey", "banana",
    "barcelona", "baseball", "basketball", "batman", "blackberry", "blahblah", "blessed",
    "brother", "buster", "butterfly", "changeme", "charlie", "cheese", "chelsea", "chocolate",
    "christ", "cisco", "computer", "cookie", "corvette", "cowboys", "daddy", "daniel", "database",
    "debian", "december", "default", "dell", "demo", "diamond", "donald", "dragon", "dropbox",
    "facebook", "family", "father", "february", "ferrari", "flower", "football", "freedom",
    "friday", "garfield", "ginger", "gmail", "god", "golden", "google", "guest", "happy", "harley",
    "heaven", "hello", "hellohello", "helloworld", "hockey", "hotmail", "hunter", "ilovey0u",
    "iloveyou", "internet", "iphone", "january", "jennifer", "jessica", "jesus", "jesuschrist",
    "jordan", "joshua", "juniper", "killer", "kitten", "kitty", "lakers", "lenovo", "letmein",
    "linkedin", "linux", "liverpool", "login", "lovely", "loveyou", "lucky", "macintosh", "maggie",
    "manchester", "master", "matrix", "matthew", "mercedes", "michael", "michelle", "mickey",
    "mommy", "monday", "mongodb", "monkey", "mother", "motorola", "mustang", "mypassword",
    "myspace", "mysql", "naruto", "newpassword", "nicole", "nokia", "nopassword", "nothing",
    "oracle", "orange", "p@ssw0rd", "p@ssword", "pa55word", "pass1234", "passw0rd", "password",
    "password123", "passwort", "pepper", "phoenix", "photoshop", "pokemon", "porsche", "postgres",
    "postgresql", "princess", "puppy", "purple", "q1w2e3r4", "qazwsxedc", "qweqweqwe", "qwer1234",
    "qwerty", "qwertyui", "qwertyuiop", "qwertz", "qwertzuiop", "rainbow", "robert", "root",
    "samsung", "sapphire", "scooby", "scooter", "secret", "server", "shadow", "silver", "sister",
    "smile", "snoopy", "soccer", "sparky", "spiderman", "spring", "starwars", "summer", "sunday",
    "sunshine", "superman", "system", "temp", "temporary", "test", "tester", "testtest",
    "thepassword", "thinkpad", "thomas", "tigger", "toor", "toshiba", "trustno", "trustno1",
    "ubuntu", "unicorn", "user", "welcome", "whatever", "william", "windows", "winter", "yahoo",
    "yankees", "zaq12wsx", "zxcvbnm", "zxczxc",
];

#[cfg(test)]
mod tests {
    use super::{COMMON, PasswordRules, WeakPassword};

    #[test]
    fn the_list_is_sorted_and_in_lower_case() {
        assert!(COMMON.is_sorted());
        assert!(COMMON.iter().all(|word| word.to_lowercase() == *word));
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        let rules = PasswordRules::default();
        for common in [
            "password",
            "Password1!",
            "12345678",
            "1234567890",
            "qwertyuiop",
            "aaaaaaaa",
            "letmein123",
            "Football2024",
            "iloveyou",
            "11111111",
            "Passw0rd",
        ] {
            assert_eq!(
                rules.check(common, &[]),
                Err(WeakPassword::Common),
                "{common}"
            );
        }
        for personal in ["ann.smith@example.com", "ann.smith", "Ann.Smith99"] {
            let known = ["ann.smith@example.com", ""];
            assert_eq!(
                rules.check(personal, &known),
                Err(WeakPassword::Personal),
                "{personal}"
            );
        }
    }

    #[test]
    fn lengths_are_in_characters() {
        let rules = PasswordRules::default();
        assert_eq!(rules.check("äöüäöüä", &[]), Err(WeakPassword::Short(8)));
        assert_eq!(rules.check("äöüßéèêë", &[]), Ok(()));
        assert_eq!(
            rules.check(&"xy".repeat(65), &[]),
            Err(WeakPassword::Long(128))
        );
    }
}
