use std::collections::{BTreeMap, BTreeSet};

use super::Limits;

/// What a tenant has for what it pays: limits and features, in the application's own words.
///
/// An application [registers](crate::Config::plan) its plans, and asks for a tenant's by
/// [`Tenancy::plan`](crate::Tenancy::plan), or as an argument of a handler.
///
/// ```
/// use tenantry::tenant::Plan;
///
/// let free = Plan::new("free").with_limit("products", 100).with_feature("pictures");
/// assert_eq!(free.limit("products"), Some(100));
/// assert!(free.check("products", 100).is_ok() && free.check("products", 101).is_err());
/// assert!(free.limit("users").is_none() && free.check("users", 1_000_000).is_ok());
/// assert!(free.has("pictures") && !free.has("csv-import"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    name: String,
    limits: BTreeMap<String, u64>,
    features: BTreeSet<String>,
    rates: Option<Limits>,
    /// That nobody registered it.
    is_unknown: bool,
}

/// What a plan does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanLimit {
    /// There would be too many.
    #[error("the plan allows {most} {what}")]
    TooMany {
        /// Of what.
        what: String,
        /// How many there may be.
        most: u64,
    },
    /// It is no part of the plan.
    #[error("the plan does not have {0}")]
    Lacks(String),
}

impl Plan {
    /// A plan without limits, and without features. One whose name is empty holds for tenants that are
    /// on none.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The same, with at most so many.
    #[must_use]
    pub fn with_limit(mut self, what: impl Into<String>, most: u64) -> Self {
        self.limits.insert(what.into(), most);
        self
    }

    /// The same, with a feature.
    #[must_use]
    pub fn with_feature(mut self, feature: impl Into<String>) -> Self {
        self.features.insert(feature.into());
        self
    }

    /// The same, with limits of how much of the deployment its tenants take. One without has those that
    /// the deployment has ([`Config::limits`](crate::Config::limits)).
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.rates = Some(limits);
        self
    }

    /// What stands for a plan that the program does not know (any more): nothing is allowed on it, so
    /// that nobody has more for a word that was misspelt.
    fn unknown(name: &str) -> Self {
        Self {
            is_unknown: true,
            ..Self::new(name)
        }
    }

    /// Its name; empty for that of tenants on none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the program knows it. On one that it does not know nothing is allowed.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.is_unknown
    }

    /// How many there may be; no limit where there is none.
    #[must_use]
    pub fn limit(&self, what: &str) -> Option<u64> {
        match self.is_unknown {
            true => Some(0),
            false => self.limits.get(what).copied(),
        }
    }

    /// How much of the deployment its tenants may take, where the plan says so.
    #[must_use]
    pub fn limits(&self) -> Option<&Limits> {
        self.rates.as_ref()
    }

    /// Whether it has a feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// Whether there may be so many.
    ///
    /// To hold when two add one at once, count after adding, in the transaction that adds, with what
    /// lets one such transaction wait for the other.
    ///
    /// # Errors
    /// [`PlanLimit::TooMany`].
    pub fn check(&self, what: &str, count: u64) -> Result<(), PlanLimit> {
        match self.limit(what) {
            Some(most) if count > most => Err(PlanLimit::TooMany {
                what: what.into(),
                most,
            }),
            _ => Ok(()),
        }
    }

    /// Requires a feature.
    ///
    /// # Errors
    /// [`PlanLimit::Lacks`].
    pub fn require(&self, feature: &str) -> Result<(), PlanLimit> {
        match self.has(feature) {
            true => Ok(()),
            false => Err(PlanLimit::Lacks(feature.into())),
        }
    }
}

/// The plans of an application.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plans {
    all: BTreeMap<String, Plan>,
    /// Of those whose plan says nothing of it.
    limits: Limits,
}

impl Plans {
    pub(crate) fn add(&mut self, plan: Plan) {
        self.all.insert(plan.name.clone(), plan);
    }

    pub(crate) fn limit_others(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How much of the deployment whoever is on the plan of that name may take. On one that nobody
    /// knows that is the least that any has.
    pub(crate) fn limits(&self, name: &str) -> Limits {
        match self.all.get(name) {
            Some(plan) => plan.rates.unwrap_or(self.limits),
            None if self.has(name) => self.limits,
            None => {
                let each = self.all.values().filter_map(|plan| plan.rates);
                each.fold(self.limits, Limits::tightest)
            }
        }
    }

    /// The plan of that name. An application that has none takes any word, and limits nothing.
    pub(crate) fn get(&self, name: &str) -> Plan {
        match self.all.get(name) {
            Some(plan) => plan.clone(),
            None if name.is_empty() || self.names().is_empty() => Plan::new(name),
            None => Plan::unknown(name),
        }
    }

    /// Their names, but for that of tenants on none.
    pub(crate) fn names(&self) -> Vec<&str> {
        let names = self.all.keys().map(String::as_str);
        names.filter(|name| !name.is_empty()).collect()
    }

    /// Whether a tenant may be put on it.
    pub(crate) fn has(&self, name: &str) -> bool {
        name.is_empty() || self.names().is_empty() || self.all.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_nobody_knows_has_the_least_of_all_limits() {
        let mut plans = Plans::default();
        assert_eq!(plans.limits("any"), Limits::default());
        plans.limit_others(Limits::none().with_storage(7));
        plans.add(Plan::new("free").with_limits(Limits::none().with_storage(5)));
        plans.add(Plan::new("pro").with_limits(Limits::none().with_jobs_waiting(3)));
        plans.add(Plan::new("plain"));
        assert_eq!(plans.limits("free").storage, Some(5));
        assert_eq!(plans.limits("pro").storage, None);
        assert_eq!(plans.limits("plain").storage, Some(7));
        assert_eq!(plans.limits("").storage, Some(7));
        let unknown = plans.limits("fre");
        assert_eq!((unknown.storage, unknown.jobs_waiting), (Some(5), Some(3)));
    }

    #[test]
    fn a_plan_that_nobody_knows_allows_nothing() {
        let mut plans = Plans::default();
        // whoever registers none asks for none
        assert!(plans.has("any") && plans.get("any").check("products", 9).is_ok());
        plans.add(Plan::new("").with_limit("products", 5));
        // a default alone names no plan, so any word is one still
        assert!(plans.has("any"));
        plans.add(Plan::new("pro").with_feature("import"));
        assert!(!plans.has("prp") && plans.has("pro") && plans.has(""));
        let unknown = plans.get("prp");
        assert!(!unknown.is_known() && unknown.check("products", 1).is_err());
        assert!(unknown.check("products", 0).is_ok() && unknown.require("import").is_err());
        assert_eq!(plans.get("").limit("products"), Some(5));
        assert_eq!(plans.get("pro").limit("products"), None);
        assert!(plans.get("pro").require("import").is_ok());
    }
}
