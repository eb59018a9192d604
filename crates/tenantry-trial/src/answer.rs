use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};
use serde_json::Value;

/// What the server said, as a whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request, for whoever reads a failure.
    pub asked: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, where it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self
    }

    /// The body, which must be JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{}",
            self.asked
        );
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text()))
    }

    /// Fails unless it is a well-formed problem of that kind.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        let told = format!("{}: {}", self.asked, self.text());
        assert_eq!(self.status, status, "{told}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{told}"
        );
        let problem: Value = serde_json::from_slice(&self.body).expect(&told);
        let kind = problem["type"].as_str().expect(&told);
        assert_eq!(kind.rsplit(['/', ':']).next(), Some(slug), "{told}");
        assert_eq!(problem["status"], status, "{told}");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{told}"
        );
        problem
    }

    /// Fails unless it is a 422 about just these fields.
    #[track_caller]
    pub fn invalid(&self, fields: &[&str]) {
        let problem = self.problem(422, "invalid");
        let errors = problem["errors"].as_object().expect(&self.asked);
        let named: Vec<_> = errors.keys().map(String::as_str).collect();
        assert_eq!(named, fields, "{}: {}", self.asked, self.text());
        for messages in errors.values() {
            let messages = messages.as_array().expect(&self.asked);
            assert!(!messages.is_empty() && messages.iter().all(Value::is_string));
        }
    }

    /// Fails unless it is a page, with that status.
    #[track_caller]
    pub fn page(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        let kind = self.headers.get(CONTENT_TYPE).expect(&self.asked);
        assert_eq!(kind, "text/html; charset=utf-8", "{}", self.asked);
        assert!(
            self.header("content-security-policy").is_some(),
            "{}",
            self.asked
        );
        self.text()
    }

    /// Fails unless it sends the browser there.
    #[track_caller]
    pub fn redirects_to(&self, place: &str) {
        assert_eq!(self.status, 303, "{}: {}", self.asked, self.text());
        assert_eq!(self.header("location"), Some(place), "{}", self.asked);
    }

    /// Fails unless nobody could tell this answer from the other.
    #[track_caller]
    pub fn same_as(&self, other: &Self) {
        let told = format!("{} and {}", self.asked, other.asked);
        assert_eq!(self.status, other.status, "{told}");
        assert_eq!(self.timeless_headers(), other.timeless_headers(), "{told}");
        assert_eq!(
            self.body,
            other.body,
            "{told}: {} / {}",
            self.text(),
            other.text()
        );
    }

    fn timeless_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.remove(DATE);
        // by which nothing is told of what was asked for
        headers.remove("x-request-id");
        headers
    }

    /// The ids of a list's items, in order.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        self.each("id")
    }

    /// One field of each of a list's items, in order.
    #[track_caller]
    pub fn each(&self, field: &str) -> Vec<String> {
        let list = self.clone().is(200).json();
        let items = list["items"].as_array().expect(&self.asked);
        let text = |item: &Value| item[field].as_str().expect(&self.asked).to_owned();
        items.iter().map(text).collect()
    }
}
