use std::collections::{HashMap, HashSet};

use cedar_policy::{ActionConstraint, Entity, EntityUid, Policy, PolicySet, Schema};

use super::{PolicyError, said};

/// The schema's actions.
#[derive(Clone)]
pub(crate) struct Actions(HashMap<String, Action>);

/// An action of the schema.
#[derive(Clone)]
pub(crate) struct Action {
    pub(super) uid: EntityUid,
    /// The groups that it is in, at whatever remove.
    groups: HashSet<EntityUid>,
    /// What a decision has to know of it, where it is in a group.
    pub(super) entity: Option<Entity>,
}

/// The policies that can have to do with each action. A decision needs no others: the scope of those
/// excludes it, before anything of their conditions is looked at.
pub(crate) struct ByAction(HashMap<String, PolicySet>);

impl Actions {
    pub(super) fn of(schema: &Schema) -> Result<Self, PolicyError> {
        let entities = schema
            .action_entities()
            .map_err(|error| PolicyError::Schema(said(error)))?;
        let actions = schema.actions().map(|uid| {
            let groups: HashSet<_> = match entities.ancestors(uid) {
                Some(groups) => groups.cloned().collect(),
                None => HashSet::new(),
            };
            let entity = match groups.is_empty() {
                true => None,
                false => Some(
                    Entity::new(uid.clone(), HashMap::new(), groups.clone())
                        .map_err(|error| PolicyError::Schema(said(error)))?,
                ),
            };
            let action = Action {
                uid: uid.clone(),
                groups,
                entity,
            };
            Ok((uid.id().unescaped().to_owned(), action))
        });
        Ok(Self(actions.collect::<Result<_, PolicyError>>()?))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Action> {
        self.0.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

impl Action {
    /// Whether it is that one, or in that group.
    pub(super) fn is_in(&self, uid: &EntityUid) -> bool {
        self.uid == *uid || self.groups.contains(uid)
    }

    fn is_meant_by(&self, policy: &Policy) -> bool {
        match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => self.uid == uid,
            ActionConstraint::In(uids) => uids.iter().any(|uid| self.is_in(uid)),
        }
    }
}

impl ByAction {
    pub(super) fn new(actions: &Actions, set: &PolicySet) -> Result<Self, PolicyError> {
        let sets = actions.0.iter().map(|(name, action)| {
            let meant = set.policies().filter(|policy| action.is_meant_by(policy));
            let slice = PolicySet::from_policies(meant.cloned())
                .map_err(|error| PolicyError::Parse(said(error)))?;
            Ok((name.clone(), slice))
        });
        Ok(Self(sets.collect::<Result<_, PolicyError>>()?))
    }

    pub(super) fn get(&self, name: &str) -> Option<&PolicySet> {
        self.0.get(name)
    }
}
