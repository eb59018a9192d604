//! Papers, their sections, and remarks about those.

use chrono::{DateTime, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    db::{DbError, FromRow, Row, Value},
    policy::{Attribute, Node, Object, Permissions, Policies, PolicyError},
    resources::{FilterBy, OrderBy, Resource, ResourceError, Writable},
};

pub(super) const SCHEMA: &str = "
entity Paper in [Tenant] = {
    state: String, author?: User, price: decimal, words: Long, open: Bool, due?: datetime };
entity Section in [Paper, Tenant] = { paper: Paper, kind: String };
entity Remark in [Section, Tenant] = { section: Section, kind: String };
action readPaper, updatePaper, deletePaper, createSection, readNotes appliesTo {
    principal: [User, ApiKey, Anonymous], resource: Paper, context: Request };
action readSection, updateSection, deleteSection, createRemark appliesTo {
    principal: [User, ApiKey, Anonymous], resource: Section, context: Request };
action readRemark, updateRemark, deleteRemark appliesTo {
    principal: [User, ApiKey, Anonymous], resource: Remark, context: Request };
action createPaper, publish appliesTo {
    principal: [User, ApiKey, Anonymous], resource: Tenant, context: Request };
";

pub(super) fn policies(text: &str) -> Result<Policies, PolicyError> {
    Policies::new(SCHEMA, text)?
        .resource::<Paper>()?
        .resource::<Section>()?
        .resource::<Remark>()
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Paper {
    pub(super) id: Uuid,
    pub(super) title: String,
    pub(super) state: String,
    pub(super) author: Option<Uuid>,
    pub(super) price: Decimal,
    pub(super) words: i64,
    pub(super) is_open: bool,
    pub(super) due: Option<DateTime<Utc>>,
    pub(super) notes: String,
}

impl FromRow for Paper {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            title: row.field(1, "title")?,
            state: row.field(2, "state")?,
            author: row.field(3, "author")?,
            price: row.field(4, "price")?,
            words: row.field(5, "words")?,
            is_open: row.field(6, "is_open")?,
            due: row.field(7, "due")?,
            notes: row.field(8, "notes")?,
        })
    }
}

impl Object for Paper {
    type Parent = ();
    const TYPE: &'static str = "Paper";
    const READ: &'static str = "readPaper";
    const ACTIONS: &'static [&'static str] = &["updatePaper", "deletePaper", "readNotes"];
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::text("state", |paper| Value::from(&paper.state)),
        Attribute::entity("author", "User", |paper| paper.author.into()),
        Attribute::decimal("price", |paper| paper.price.into()),
        Attribute::long("words", |paper| paper.words.into()),
        Attribute::boolean("open", |paper: &Self| paper.is_open.into()).column("is_open"),
        Attribute::time("due", |paper| paper.due.into()),
    ];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Paper {
    const TABLE: &'static str = "papers";
    const COLUMNS: &'static str = "id, title, state, author, price, words, is_open, due, notes";
    const SEARCHED: &'static [&'static str] = &["title"];
    const ORDERS: &'static [OrderBy<Self>] = &[
        OrderBy::text("title", |paper| Value::from(&paper.title)),
        OrderBy::decimal("price", |paper| paper.price.into()),
        OrderBy::long("words", |paper| paper.words.into()),
    ];
    const FILTERS: &'static [FilterBy] = &[
        FilterBy::text("state"),
        FilterBy::decimal("price_from").column("price").at_least(),
        FilterBy::boolean("open").column("is_open"),
    ];
    const GUARDED: &'static [(&'static str, &'static str)] = &[("notes", "readNotes")];
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPaper {
    #[garde(length(chars, min = 1, max = 40))]
    title: String,
    #[garde(skip)]
    #[serde(default)]
    words: i64,
    #[garde(skip)]
    #[serde(default)]
    notes: String,
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedPaper {
    #[garde(inner(length(chars, min = 1, max = 40)))]
    title: Option<String>,
    #[garde(skip)]
    words: Option<i64>,
    #[garde(skip)]
    state: Option<String>,
}

impl Writable for Paper {
    const CREATE: &'static str = "createPaper";
    const UPDATE: &'static str = "updatePaper";
    const DELETE: &'static str = "deletePaper";
    type New = NewPaper;
    type Change = ChangedPaper;

    fn new(new: NewPaper, (): &(), by: &Permissions) -> Self {
        Self {
            id: Uuid::now_v7(),
            title: new.title,
            state: "draft".into(),
            author: by.principal().user_id(),
            price: Decimal::ONE,
            words: new.words,
            is_open: false,
            due: None,
            notes: new.notes,
        }
    }

    fn replace(&mut self, new: NewPaper) {
        self.title = new.title;
        self.words = new.words;
        self.notes = new.notes;
    }

    fn change(&mut self, change: ChangedPaper) {
        self.title = change.title.unwrap_or_else(|| self.title.clone());
        self.state = change.state.unwrap_or_else(|| self.state.clone());
        self.words = change.words.unwrap_or(self.words);
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("title", Value::from(&self.title)),
            ("state", Value::from(&self.state)),
            ("author", self.author.into()),
            ("price", self.price.into()),
            ("words", self.words.into()),
            ("is_open", self.is_open.into()),
            ("due", self.due.into()),
            ("notes", Value::from(&self.notes)),
        ]
    }

    fn refusal(error: DbError) -> ResourceError {
        if error.is_unique("papers", &["title"]) {
            return ResourceError::conflict("title-taken", "There is a paper of that title.");
        }
        error.into()
    }
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct Kind {
    #[garde(length(max = 20))]
    kind: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Section {
    pub(super) id: Uuid,
    pub(super) paper_id: Uuid,
    pub(super) kind: String,
}

impl FromRow for Section {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            paper_id: row.field(1, "paper_id")?,
            kind: row.field(2, "kind")?,
        })
    }
}

impl Object for Section {
    type Parent = Paper;
    const TYPE: &'static str = "Section";
    const PARENT: &'static str = "paper";
    const READ: &'static str = "readSection";
    const ACTIONS: &'static [&'static str] = &["updateSection", "deleteSection"];
    const ATTRIBUTES: &'static [Attribute<Self>] = &[Attribute::text("kind", |section| {
        Value::from(&section.kind)
    })];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Section {
    const TABLE: &'static str = "sections";
    const COLUMNS: &'static str = "id, paper_id, kind";
    const PARENT_COLUMN: &'static str = "paper_id";
    const ORDERS: &'static [OrderBy<Self>] =
        &[OrderBy::text("kind", |section| Value::from(&section.kind))];
}

impl Writable for Section {
    const CREATE: &'static str = "createSection";
    const UPDATE: &'static str = "updateSection";
    const DELETE: &'static str = "deleteSection";
    type New = Kind;
    type Change = Kind;

    fn new(new: Kind, paper: &Node<Paper>, _: &Permissions) -> Self {
        Self {
            id: Uuid::now_v7(),
            paper_id: paper.object.id,
            kind: new.kind,
        }
    }

    fn replace(&mut self, new: Kind) {
        self.kind = new.kind;
    }

    fn change(&mut self, change: Kind) {
        self.kind = change.kind;
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("paper_id", self.paper_id.into()),
            ("kind", Value::from(&self.kind)),
        ]
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Remark {
    id: Uuid,
    section_id: Uuid,
    kind: String,
}

impl FromRow for Remark {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            section_id: row.field(1, "section_id")?,
            kind: row.field(2, "kind")?,
        })
    }
}

impl Object for Remark {
    type Parent = Section;
    const TYPE: &'static str = "Remark";
    const PARENT: &'static str = "section";
    const READ: &'static str = "readRemark";
    const ACTIONS: &'static [&'static str] = &["updateRemark", "deleteRemark"];
    const ATTRIBUTES: &'static [Attribute<Self>] =
        &[Attribute::text("kind", |remark| Value::from(&remark.kind))];

    fn id(&self) -> Uuid {
        self.id
    }
}

impl Resource for Remark {
    const TABLE: &'static str = "remarks";
    const COLUMNS: &'static str = "id, section_id, kind";
    const PARENT_COLUMN: &'static str = "section_id";
    const ORDERS: &'static [OrderBy<Self>] =
        &[OrderBy::text("kind", |remark| Value::from(&remark.kind))];
}

impl Writable for Remark {
    const CREATE: &'static str = "createRemark";
    const UPDATE: &'static str = "updateRemark";
    const DELETE: &'static str = "deleteRemark";
    type New = Kind;
    type Change = Kind;

    fn new(new: Kind, section: &Node<Section>, _: &Permissions) -> Self {
        Self {
            id: Uuid::now_v7(),
            section_id: section.object.id,
            kind: new.kind,
        }
    }

    fn replace(&mut self, new: Kind) {
        self.kind = new.kind;
    }

    fn change(&mut self, change: Kind) {
        self.kind = change.kind;
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("id", self.id.into()),
            ("section_id", self.section_id.into()),
            ("kind", Value::from(&self.kind)),
        ]
    }
}
