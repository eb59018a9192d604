//! The meters of the tenants that are used in this process.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{db::Meter, tenant::TenantId};

/// One for each tenant that is used, or was lately.
#[derive(Default)]
pub(crate) struct Meters(RwLock<HashMap<TenantId, Arc<Meter>>>);

impl Meters {
    /// The tenant's meter, made now if it has none.
    pub(crate) fn of(&self, id: TenantId) -> Arc<Meter> {
        {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(meter) = all.get(&id) {
                return meter.clone();
            }
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(id)
            .or_insert_with(|| Arc::new(Meter::new()))
            .clone()
    }

    /// All there are.
    pub(crate) fn all(&self) -> Vec<(TenantId, Arc<Meter>)> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(id, meter)| (*id, meter.clone())).collect()
    }

    /// Forgets the tenant's meter, if nobody has it and `is_done` says that nothing on it is left to
    /// be written down: whether it is forgotten.
    pub(crate) fn forget(&self, id: TenantId, is_done: impl FnOnce(&Meter) -> bool) -> bool {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // while this is locked nobody gets it who has not
        let idle = all
            .get(&id)
            .is_some_and(|meter| Arc::strong_count(meter) == 1 && is_done(meter));
        if idle {
            all.remove(&id);
        }
        idle
    }
}
