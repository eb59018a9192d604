use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, Response,
    RestrictedExpression,
};
use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::{
    Compiled, Filter, Kind, Object, Overlay, Parent, Policies, Principal, attribute, filter::Known,
    object::Node, translate::Operand,
};
use crate::{
    db::Value,
    tenant::{Plan, Tenant},
    users::By,
};

/// What somebody may do in a tenant: made for one request, from the tenant and whoever asks.
#[derive(Clone)]
pub struct Permissions(Arc<Inner>);

struct Inner {
    compiled: Arc<Compiled>,
    overlay: Option<Arc<Overlay>>,
    tenant: Tenant,
    tenant_uid: EntityUid,
    principal: Principal,
    principal_uid: EntityUid,
    /// The tenant and whoever asks, as entities.
    known: Vec<Entity>,
    now: DateTime<Utc>,
    impersonated: bool,
    /// Of what writes nothing.
    context: Context,
    by: By,
    plan: Plan,
    authorizer: Authorizer,
}

/// Why something is permitted, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether it is.
    pub allowed: bool,
    /// The policies that decided: those that permit, or those that forbid. None where nothing
    /// permits.
    pub decided_by: Vec<String>,
    /// What failed on the way; then it is refused.
    pub errors: Vec<String>,
}

/// It may not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Nobody is signed in, and nobody may.
    #[error("nobody is signed in")]
    Anonymous,
    /// They may not.
    #[error("it is not permitted")]
    Forbidden,
    /// They may not even know of it.
    #[error("there is no such object")]
    Hidden,
}

impl Permissions {
    pub(crate) fn new(
        policies: &Policies,
        overlay: Option<Arc<Overlay>>,
        tenant: &Tenant,
        principal: Principal,
        impersonated: bool,
    ) -> Result<Self, String> {
        let unknown = || "an entity of the library's has no name".to_owned();
        let types = &policies.0.entity_types;
        let tenant_uid = types
            .uid("Tenant", &tenant.id().to_string())
            .ok_or_else(unknown)?;
        let id = principal.id().map(|id| id.to_string()).unwrap_or_default();
        let principal_uid = types.uid(principal.type_name(), &id).ok_or_else(unknown)?;
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let about_tenant = HashMap::from([
            ("code".to_owned(), text(tenant.code().as_str())),
            ("plan".to_owned(), text(tenant.plan())),
        ]);
        let (group, names) = principal.groups();
        let mut groups = HashSet::new();
        for name in names {
            groups.insert(types.uid(group, name).ok_or_else(unknown)?);
        }
        if !matches!(principal, Principal::Operator { .. }) {
            groups.insert(tenant_uid.clone());
        }
        let about_principal = principal
            .email()
            .map(|email| ("email".to_owned(), text(email)))
            .into_iter()
            .collect();
        let entity = |uid: &EntityUid, attributes, parents| {
            Entity::new(uid.clone(), attributes, parents).map_err(|error| error.to_string())
        };
        let known = vec![
            entity(&tenant_uid, about_tenant, HashSet::new())?,
            entity(&principal_uid, about_principal, groups)?,
        ];
        let now = Utc::now().trunc_subsecs(3);
        let context = context(&tenant_uid, now, impersonated, &[])?;
        Ok(Self(Arc::new(Inner {
            compiled: policies.0.clone(),
            overlay,
            tenant: tenant.clone(),
            tenant_uid,
            principal,
            principal_uid,
            known,
            now,
            impersonated,
            context,
            by: By::default(),
            plan: Plan::default(),
            authorizer: Authorizer::new(),
        })))
    }

    /// Notes who asks and from where, for what is [written down](Self::by) of what they do.
    #[must_use]
    pub fn acting(mut self, by: By) -> Self {
        match Arc::get_mut(&mut self.0) {
            Some(inner) => {
                inner.by = by;
                self
            }
            // of one that is already in use nothing is changed
            None => self,
        }
    }

    pub(crate) fn on_plan(mut self, plan: Plan) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.plan = plan;
        }
        self
    }

    /// What the tenant has for what it pays.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// Who asks and from where, for what is written down of what they do.
    #[must_use]
    pub fn by(&self) -> &By {
        &self.0.by
    }

    /// Whoever asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.0.principal
    }

    /// In which tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// Whether an operator stands in for the user.
    #[must_use]
    pub fn is_impersonated(&self) -> bool {
        self.0.impersonated
    }

    /// Whether `action` may be done to the tenant itself, such as adding an object to it. `fields`
    /// are what would be written.
    ///
    /// # Errors
    /// When it may not.
    pub fn require(&self, action: &str, fields: &[&str]) -> Result<(), Refused> {
        self.require_in::<()>(action, &(), fields)
    }

    /// Whether `action` may be done to what others are in: an object, or the tenant for `()`.
    ///
    /// # Errors
    /// When it may not.
    pub fn require_in<P: Parent>(
        &self,
        action: &str,
        node: &P::Node,
        fields: &[&str],
    ) -> Result<(), Refused> {
        let explanation = self.explain_in::<P>(action, node, fields);
        if explanation.allowed {
            Ok(())
        } else {
            Err(self.refused())
        }
    }

    /// Whether `action` may be done to an object. Whoever may not even look at it is told that there
    /// is none.
    ///
    /// # Errors
    /// When it may not.
    pub fn require_on<O: Object + Clone>(
        &self,
        action: &str,
        node: &Node<O>,
        fields: &[&str],
    ) -> Result<(), Refused> {
        match self.require_in::<O>(action, node, fields) {
            Err(_) if action == O::READ => Err(Refused::Hidden),
            Err(_) if self.require_in::<O>(O::READ, node, &[]).is_err() => Err(Refused::Hidden),
            answer => answer,
        }
    }

    /// As [`require_on`](Self::require_on), for whoever only wants to know.
    #[must_use]
    pub fn allows<O: Object + Clone>(&self, action: &str, node: &Node<O>) -> bool {
        self.require_in::<O>(action, node, &[]).is_ok()
    }

    /// Why an action on an object is permitted, or is not.
    #[must_use]
    pub fn explain<O: Object + Clone>(&self, action: &str, node: &Node<O>) -> Explanation {
        self.explain_in::<O>(action, node, &[])
    }

    /// As [`explain`](Self::explain), of what others are in.
    #[must_use]
    pub fn explain_in<P: Parent>(
        &self,
        action: &str,
        node: &P::Node,
        fields: &[&str],
    ) -> Explanation {
        let decided = self.set(action).and_then(|set| {
            let (uid, entities) = self.entities::<P>(node)?;
            self.ask(set, action, uid, entities, fields)
        });
        match decided {
            Ok(response) => Explanation::of(&response),
            Err(error) => {
                tracing::error!(error, action, "a permission could not be decided");
                Explanation {
                    allowed: false,
                    decided_by: Vec::new(),
                    errors: vec![error],
                }
            }
        }
    }

    /// Which of the objects in `parent` may be looked at: what `O::READ`'s policies say, as a
    /// condition of the database's. Whoever may look at none, whatever they are, is refused.
    ///
    /// # Errors
    /// When none may, or something fails on the way.
    pub fn filter<O: Object + Clone>(
        &self,
        parent: &<O::Parent as Parent>::Node,
    ) -> Result<Filter, Refused> {
        let filter = self.filter_or_why::<O>(parent).map_err(|error| {
            tracing::error!(error, of = O::TYPE, "a list could not be filtered");
            self.refused()
        })?;
        if filter.is_nothing() {
            return Err(self.refused());
        }
        Ok(filter)
    }

    fn filter_or_why<O: Object + Clone>(
        &self,
        parent: &<O::Parent as Parent>::Node,
    ) -> Result<Filter, String> {
        let inner = &self.0;
        let info = inner
            .compiled
            .type_info(O::TYPE)
            .ok_or_else(|| format!("the policies know no {}: see Policies::object", O::TYPE))?;
        let template = match &inner.overlay {
            Some(overlay) => overlay.read.get(O::TYPE).unwrap_or(&info.read),
            None => &info.read,
        };
        // stands for any of them: it has what all of them have, and no identity
        let described = Described(self);
        let uid = inner
            .compiled
            .entity_types
            .uid(O::TYPE, "?")
            .ok_or("the object has no name")?;
        let mut entities = self.0.known.clone();
        entities.push(described.any::<O>(uid.clone(), parent)?);
        O::Parent::describe(parent, &described, &mut entities)?;
        let response = self.ask(&template.facts, O::READ, uid, entities, &[])?;
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(error.to_string());
        }
        let facts: HashSet<usize> = response
            .diagnostics()
            .reason()
            .filter_map(|id| id.to_string().parse().ok())
            .collect();
        let known = Asked {
            permissions: self,
            facts,
        };
        Ok(Filter::new(&template.permits, &template.forbids, &known))
    }

    fn refused(&self) -> Refused {
        match self.0.principal {
            Principal::Anonymous => Refused::Anonymous,
            _ => Refused::Forbidden,
        }
    }

    /// The policies that can have to do with the action.
    fn set(&self, action: &str) -> Result<&PolicySet, String> {
        let by_action = match &self.0.overlay {
            Some(overlay) => &overlay.by_action,
            None => &self.0.compiled.by_action,
        };
        let set = by_action.get(action);
        set.ok_or_else(|| format!("the schema has no action {action:?}"))
    }

    fn entities<P: Parent>(&self, node: &P::Node) -> Result<(EntityUid, Vec<Entity>), String> {
        let described = Described(self);
        let uid = P::uid(node, &described).ok_or("the object has no name")?;
        let mut entities = self.0.known.clone();
        P::describe(node, &described, &mut entities)?;
        Ok((uid, entities))
    }

    fn ask(
        &self,
        set: &PolicySet,
        action: &str,
        resource: EntityUid,
        mut entities: Vec<Entity>,
        fields: &[&str],
    ) -> Result<Response, String> {
        let inner = &self.0;
        let action = inner.compiled.action(action)?;
        entities.extend(action.entity.clone());
        let entities =
            Entities::from_entities(entities, None).map_err(|error| error.to_string())?;
        let context = match fields {
            [] => inner.context.clone(),
            fields => context(&inner.tenant_uid, inner.now, inner.impersonated, fields)?,
        };
        let principal = inner.principal_uid.clone();
        let request = Request::new(principal, action.uid.clone(), resource, context, None)
            .map_err(|error| error.to_string())?;
        Ok(inner.authorizer.is_authorized(&request, set, &entities))
    }
}

/// The schema's `Request`.
fn context(
    tenant: &EntityUid,
    now: DateTime<Utc>,
    impersonated: bool,
    fields: &[&str],
) -> Result<Context, String> {
    let fields = fields
        .iter()
        .map(|field| RestrictedExpression::new_string((*field).to_owned()));
    let tenant = RestrictedExpression::new_entity_uid(tenant.clone());
    let pairs = [
        ("tenant", tenant),
        ("now", attribute::time(now)),
        ("fields", RestrictedExpression::new_set(fields)),
        ("impersonated", RestrictedExpression::new_bool(impersonated)),
    ];
    Context::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value)))
        .map_err(|error| error.to_string())
}

impl Explanation {
    fn of(response: &Response) -> Self {
        let diagnostics = response.diagnostics();
        let errors: Vec<_> = diagnostics.errors().map(ToString::to_string).collect();
        for error in &errors {
            tracing::error!(error, "a policy failed, so nothing is permitted");
        }
        let mut decided_by: Vec<_> = diagnostics.reason().map(ToString::to_string).collect();
        decided_by.sort();
        Self {
            // a policy that fails is skipped by Cedar: it might have forbidden
            allowed: response.decision() == Decision::Allow && errors.is_empty(),
            decided_by,
            errors,
        }
    }
}

/// What an entity is made with.
#[doc(hidden)]
pub struct Described<'p>(&'p Permissions);

impl Described<'_> {
    pub(super) fn tenant(&self) -> EntityUid {
        self.0.0.tenant_uid.clone()
    }

    pub(super) fn uid(&self, of: &'static str, id: Uuid) -> Option<EntityUid> {
        self.0.0.compiled.entity_types.uid(of, &id.to_string())
    }

    pub(super) fn entity<O: Object>(
        &self,
        object: &O,
        parent: &<O::Parent as Parent>::Node,
    ) -> Result<Entity, String> {
        let mut attributes = HashMap::new();
        for attribute in O::ATTRIBUTES {
            attribute
                .add(object, &self.0.0.compiled.entity_types, &mut attributes)
                .map_err(|error| error.to_string())?;
        }
        let uid = self.uid(O::TYPE, object.id());
        self.within::<O>(uid.ok_or("the object has no name")?, attributes, parent)
    }

    fn any<O: Object>(
        &self,
        uid: EntityUid,
        parent: &<O::Parent as Parent>::Node,
    ) -> Result<Entity, String> {
        self.within::<O>(uid, HashMap::new(), parent)
    }

    fn within<O: Object>(
        &self,
        uid: EntityUid,
        mut attributes: HashMap<String, RestrictedExpression>,
        parent: &<O::Parent as Parent>::Node,
    ) -> Result<Entity, String> {
        let above = O::Parent::uid(parent, self).ok_or("the parent has no name")?;
        if !O::PARENT.is_empty() {
            let parent = RestrictedExpression::new_entity_uid(above.clone());
            attributes.insert(O::PARENT.to_owned(), parent);
        }
        let parents = HashSet::from([above, self.tenant()]);
        Entity::new(uid, attributes, parents).map_err(|error| error.to_string())
    }
}

/// What a list's condition is made with.
struct Asked<'p> {
    permissions: &'p Permissions,
    facts: HashSet<usize>,
}

impl Known for Asked<'_> {
    fn fact(&self, number: usize) -> bool {
        self.facts.contains(&number)
    }

    fn value(&self, kind: Kind, operand: &Operand) -> Option<Value> {
        let inner = &self.permissions.0;
        let entity = |of: &str, id: &str| match kind {
            Kind::Entity(expected) if expected == of => id.parse().ok().map(Value::Uuid),
            _ => None,
        };
        match operand {
            Operand::Literal(value) => Some(value.clone()),
            Operand::Entity(of, id) => entity(of, id),
            Operand::Principal => {
                let id = inner.principal.id()?.to_string();
                entity(inner.principal.type_name(), &id)
            }
            Operand::PrincipalEmail => inner.principal.email().map(Value::from),
            Operand::Now => Some(Value::DateTime(inner.now)),
            Operand::Impersonated => Some(Value::Bool(inner.impersonated)),
            Operand::Tenant => entity("Tenant", &inner.tenant.id().to_string()),
            Operand::TenantCode => Some(Value::from(inner.tenant.code().as_str())),
            Operand::TenantPlan => Some(Value::from(inner.tenant.plan())),
        }
    }
}

impl std::fmt::Debug for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permissions")
            .field("tenant", self.0.tenant.code())
            .field("principal", &self.0.principal)
            .finish_non_exhaustive()
    }
}
