//! Who may do what, decided in one place: by policies in [Cedar](https://docs.cedarpolicy.com).
//!
//! An application gives its schema (what there is, and what can be done with it) and its policies.
//! Both are validated against each other when it starts. What no policy permits is refused, what one
//! forbids is refused whatever others permit, and so is what fails on the way to a decision.
//!
//! ```
//! use tenantry::policy::Policies;
//!
//! let policies = Policies::new(
//!     "entity Product in [Tenant] = { added_by?: User };
//!      action readProduct, updateProduct appliesTo {
//!          principal: [User, Anonymous], resource: Product, context: Request };",
//!     r#"@id("anybody reads")
//!        permit (principal, action == Action::"readProduct", resource);
//!        @id("who added it changes it")
//!        permit (principal, action == Action::"updateProduct", resource)
//!        when { resource has added_by && resource.added_by == principal };"#,
//! )?;
//! # Ok::<_, tenantry::policy::PolicyError>(())
//! ```
//!
//! # What a schema begins with
//!
//! | entity | who or what |
//! |---|---|
//! | `Tenant` | the tenant of the request, with `code` and `plan` |
//! | `User` | somebody who is signed in, in their `Role`s, with `email` |
//! | `ApiKey` | a program's key, in its `Scope`s |
//! | `Operator` | one of those who run the deployment, in their `Role` |
//! | `Anonymous` | anybody else |
//!
//! The context of every request is a `Request`: the `tenant`, the time (`now`), the `fields` that
//! the request would write, and whether an operator stands in for the user (`impersonated`).
//!
//! An application's own types are declared `in [Tenant]`, as a policy that cannot be removed forbids
//! what is not the request's tenant's.
//!
//! # Lists
//!
//! What a list may show is the `read` action's policies again, turned into a condition of the
//! database's: see [`Permissions::filter`]. It is turned when the application starts, and refused
//! then if it cannot be, so that a list and a look at each of its objects cannot disagree.

mod action;
mod attribute;
mod explain;
mod filter;
mod object;
mod own;
mod permissions;
mod principal;
#[cfg(test)]
mod tests;
mod translate;

pub use attribute::Attribute;
pub use explain::{Explained, NotExplained};
pub use filter::Filter;
pub use object::{Node, Object, Parent};
pub use own::{OwnPolicies, OwnPolicy, OwnPolicyError};
pub use permissions::{Explanation, Permissions, Refused};
pub use principal::Principal;

use action::{Action, Actions, ByAction};
pub(crate) use attribute::{EntityTypes, Kind};
pub(crate) use explain::Explainer;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    num::NonZeroUsize,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use translate::Template;

const BUILTIN_SCHEMA: &str = include_str!("builtin.cedarschema");
const BUILTIN_POLICIES: &str = include_str!("builtin.cedar");

/// Where an application's users are: see [`Policies::outside`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum People {
    Inside,
    Outside,
}

/// What an application lets whom do. Cheap to clone.
#[derive(Clone)]
pub struct Policies(pub(crate) Arc<Compiled>);

#[derive(Clone)]
pub(crate) struct Compiled {
    schema: Schema,
    pub(crate) set: Arc<PolicySet>,
    by_action: Arc<ByAction>,
    actions: Actions,
    entity_types: EntityTypes,
    types: HashMap<&'static str, TypeInfo>,
    /// How objects are found that are asked about by the name of their type.
    explainers: BTreeMap<&'static str, Explainer>,
    pub(crate) people: People,
    own: Option<Overlays>,
}

/// What tenants have of their own, by its digest.
type Overlays = Arc<Mutex<lru::LruCache<String, Arc<Overlay>>>>;

#[derive(Clone)]
struct TypeInfo {
    shape: Shape,
    read: Arc<Template>,
}

/// What the library has to know of a type of objects, whatever its Rust type.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// The attributes that are columns: name, column, kind.
    pub(crate) columns: Vec<(&'static str, &'static str, Kind)>,
    /// The attribute that is the parent.
    pub(crate) parent: Option<&'static str>,
    /// The types above it, nearest first.
    pub(crate) ancestors: Vec<&'static str>,
    pub(crate) read: &'static str,
    /// What else can be done with it.
    pub(crate) actions: Vec<&'static str>,
}

/// The application's policies with a tenant's own.
pub(crate) struct Overlay {
    by_action: ByAction,
    read: HashMap<&'static str, Arc<Template>>,
}

/// Why policies cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The schema cannot be read.
    #[error("the schema cannot be read: {0}")]
    Schema(String),
    /// The policies cannot be read.
    #[error("the policies cannot be read: {0}")]
    Parse(String),
    /// The policies do not fit the schema.
    #[error("the policies do not fit the schema: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// Two policies have the same `@id`.
    #[error("two policies have the id {0:?}")]
    Duplicate(String),
    /// An object's type, attribute or action is not as the schema has it.
    #[error("{0}")]
    Mismatch(String),
    /// A policy about what can be listed says something that no database can be asked.
    #[error("policy {policy:?} cannot be asked of a database, as lists need it: {reason}")]
    Untranslatable {
        /// The policy.
        policy: String,
        /// What of it.
        reason: String,
    },
    /// A tenant's own policy permits something: it may only forbid.
    #[error("policy {0:?} permits something: a tenant's own may only forbid")]
    Widens(String),
}

impl Policies {
    /// Reads a schema and policies, and validates the one against the other. A policy is known by
    /// its `@id`, or else by the line that it begins in.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(schema: &str, policies: &str) -> Result<Self, PolicyError> {
        // behind the application's own, so that lines are counted as its author does
        let (schema, _) = Schema::from_cedarschema_str(&format!("{schema}{BUILTIN_SCHEMA}"))
            .map_err(|error| PolicyError::Schema(said(error)))?;
        let mut set = parse(policies)?;
        for policy in parse(BUILTIN_POLICIES)?.policies() {
            set.add(policy.clone())
                .map_err(|_| PolicyError::Duplicate(policy.id().to_string()))?;
        }
        validate(&schema, &set)?;
        let actions = Actions::of(&schema)?;
        let by_action = Arc::new(ByAction::new(&actions, &set)?);
        let entity_types = EntityTypes::new(&schema);
        Ok(Self(Arc::new(Compiled {
            schema,
            set: Arc::new(set),
            by_action,
            actions,
            entity_types,
            types: HashMap::new(),
            explainers: BTreeMap::new(),
            people: People::Inside,
            own: None,
        })))
    }

    /// Says that users stand [outside of tenants](crate::accounts): then a `User` is a member of the
    /// tenant, in the role of the membership. Otherwise it is a user of the tenant's own.
    #[must_use]
    pub fn outside(mut self) -> Self {
        self.compiled().people = People::Outside;
        self
    }

    /// Lets tenants have [policies of their own](OwnPolicies). They are read with each request that
    /// asks for a permission: one more statement.
    #[must_use]
    pub fn with_own(mut self) -> Self {
        const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();
        self.compiled().own = Some(Arc::new(Mutex::new(lru::LruCache::new(MOST))));
        self
    }

    /// Makes a type of objects known: its attributes and actions must be as the schema has them, and
    /// what its `read` policies say must be such that a database can be asked.
    ///
    /// # Errors
    /// Where they do not agree.
    pub fn object<O: Object + Clone>(mut self) -> Result<Self, PolicyError> {
        let shape = object::shape::<O>();
        attribute::check(&self.0.schema, &self.0.entity_types, &shape)?;
        for action in [shape.read].iter().chain(&shape.actions) {
            self.check_action(action, shape.name)?;
        }
        let info = TypeInfo {
            read: Arc::new(self.0.template(&self.0.set, &shape)?),
            shape,
        };
        self.compiled().types.insert(O::TYPE, info);
        Ok(self)
    }

    pub(crate) fn check_action(&self, action: &str, on: &str) -> Result<(), PolicyError> {
        let mismatch = |what: String| PolicyError::Mismatch(what);
        let known = self.0.actions.get(action).ok_or_else(|| {
            mismatch(format!(
                "the schema has no action {action:?}, which is one of {on}"
            ))
        })?;
        let name = self
            .0
            .entity_types
            .name(on)
            .ok_or_else(|| mismatch(format!("the schema has no {on}")))?;
        let applies = self
            .0
            .schema
            .resources_for_action(&known.uid)
            .is_some_and(|mut types| types.any(|one| one == name));
        if applies {
            Ok(())
        } else {
            Err(mismatch(format!(
                "the schema's action {action:?} does not apply to {on}"
            )))
        }
    }

    /// Validates further policies against the schema, as [`OwnPolicies::put`] does.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_own(&self, source: &str) -> Result<(), PolicyError> {
        self.0.overlay(&[("", source)]).map(drop)
    }

    /// The policies' names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.set.policies().map(|p| p.id().to_string()).collect();
        names.sort();
        names
    }

    /// The actions that there are, in order.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.actions.names().cloned().collect();
        names.sort();
        names
    }

    /// Whether a policy permits; else it forbids. `None` where there is no such policy.
    #[must_use]
    pub fn permits(&self, name: &str) -> Option<bool> {
        let policy = self.0.set.policy(&PolicyId::new(name))?;
        Some(policy.effect() == cedar_policy::Effect::Permit)
    }

    /// A policy's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let policy = self.0.set.policy(&PolicyId::new(name))?;
        Some(policy.to_string())
    }

    fn compiled(&mut self) -> &mut Compiled {
        Arc::make_mut(&mut self.0)
    }
}

/// How long a tenant's own policies may be together, in bytes.
const MOST_OWN: usize = 64 * 1024;

impl Compiled {
    fn action(&self, name: &str) -> Result<&Action, String> {
        let action = self.actions.get(name);
        action.ok_or_else(|| format!("the schema has no action {name:?}"))
    }

    fn type_info(&self, name: &str) -> Option<&TypeInfo> {
        self.types.get(name)
    }

    fn template(&self, set: &PolicySet, shape: &Shape) -> Result<Template, PolicyError> {
        Template::new(&self.actions, set, shape)
    }

    pub(crate) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    /// These policies and a tenant's own, which may only forbid.
    fn overlay(&self, own: &[(&str, &str)]) -> Result<Overlay, PolicyError> {
        let size: usize = own.iter().map(|(_, source)| source.len()).sum();
        if size > MOST_OWN {
            let most = MOST_OWN / 1024;
            return Err(PolicyError::Parse(format!(
                "they are longer than {most} KiB together"
            )));
        }
        let mut set = PolicySet::clone(&self.set);
        for (name, source) in own {
            own::bounded(source).map_err(PolicyError::Parse)?;
            for policy in parse(source)?.policies() {
                if policy.effect() == cedar_policy::Effect::Permit {
                    return Err(PolicyError::Widens(policy.id().to_string()));
                }
                let id = format!("own:{name}:{}", policy.id());
                let renamed = policy.new_id(PolicyId::new(&id));
                set.add(renamed).map_err(|_| PolicyError::Duplicate(id))?;
            }
        }
        validate(&self.schema, &set)?;
        let read = self
            .types
            .iter()
            .map(|(name, info)| Ok((*name, Arc::new(self.template(&set, &info.shape)?))))
            .collect::<Result<_, PolicyError>>()?;
        let by_action = ByAction::new(&self.actions, &set)?;
        Ok(Overlay { by_action, read })
    }

    /// As [`overlay`](Self::overlay), and remembers it by `digest`.
    pub(crate) fn overlay_of(
        &self,
        digest: &str,
        own: &[(&str, &str)],
    ) -> Result<Arc<Overlay>, PolicyError> {
        let Some(known) = &self.own else {
            return self.overlay(own).map(Arc::new);
        };
        if let Some(overlay) = known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
        {
            return Ok(overlay.clone());
        }
        let overlay = Arc::new(self.overlay(own)?);
        known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(digest.to_owned(), overlay.clone());
        Ok(overlay)
    }
}

/// Reads policies, and names each.
fn parse(source: &str) -> Result<PolicySet, PolicyError> {
    let parsed = PolicySet::from_str(source).map_err(|error| PolicyError::Parse(said(error)))?;
    if parsed.templates().next().is_some() {
        return Err(PolicyError::Parse(
            "templates (?principal, ?resource) are not taken".into(),
        ));
    }
    // in the order in which they stand: policy0, policy1, …
    let mut policies: BTreeMap<usize, &Policy> = BTreeMap::new();
    for policy in parsed.policies() {
        let number = policy.id().to_string();
        let number = number.trim_start_matches("policy").parse();
        policies.insert(number.unwrap_or(usize::MAX), policy);
    }
    let mut named = PolicySet::new();
    for (number, policy) in policies {
        let id = match policy.annotation("id") {
            Some(id) if !id.trim().is_empty() => id.to_owned(),
            _ => format!("policy {}", number + 1),
        };
        named
            .add(policy.new_id(PolicyId::new(&id)))
            .map_err(|_| PolicyError::Duplicate(id))?;
    }
    Ok(named)
}

fn validate(schema: &Schema, set: &PolicySet) -> Result<(), PolicyError> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    if result.validation_passed() {
        return Ok(());
    }
    let errors = result.validation_errors().map(ToString::to_string);
    Err(PolicyError::Invalid(errors.collect()))
}

/// An error with what explains it, in a line.
fn said(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("names", &self.names())
            .finish_non_exhaustive()
    }
}
