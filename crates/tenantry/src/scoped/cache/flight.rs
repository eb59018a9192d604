//! Loading once what many want at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bytes::Bytes;
use tokio::sync::OnceCell;

/// What is being loaded, by its whole key.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<String, Weak<OnceCell<Bytes>>>>);

/// One who is on a flight.
pub(super) struct Flight<'f> {
    flights: &'f Flights,
    key: String,
    cell: Arc<OnceCell<Bytes>>,
}

impl Flights {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Weak<OnceCell<Bytes>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes with those who load the same.
    pub(super) fn join(&self, key: String) -> Flight<'_> {
        let mut all = self.all();
        let cell = all.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let cell = Arc::new(OnceCell::new());
            all.insert(key.clone(), Arc::downgrade(&cell));
            cell
        });
        drop(all);
        Flight {
            flights: self,
            key,
            cell,
        }
    }

    /// Lets nothing be kept that is being loaded now, and does something at the same moment.
    pub(super) fn cancel(&self, key: &str, moment: impl FnOnce()) {
        let mut all = self.all();
        all.remove(key);
        moment();
    }

    /// The same for every key that begins so.
    pub(super) fn cancel_all(&self, beginning: &str) {
        self.all().retain(|key, _| !key.starts_with(beginning));
    }
}

impl Flight<'_> {
    /// What `load` returns, which the first to come runs and others wait for. When it fails, or whoever
    /// runs it goes away, the next runs its own.
    pub(super) async fn once<E>(
        &self,
        load: impl Future<Output = Result<Bytes, E>>,
    ) -> Result<Bytes, E> {
        self.cell.get_or_try_init(|| load).await.cloned()
    }

    /// Does something, unless what is loaded was [cancelled](Flights::cancel), and tells whether.
    pub(super) fn land(&self, moment: impl FnOnce()) -> bool {
        let all = self.flights.all();
        let own = Arc::downgrade(&self.cell);
        let lands = all.get(&self.key).is_some_and(|cell| cell.ptr_eq(&own));
        if lands {
            moment();
        }
        lands
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut all = self.flights.all();
        let own = Arc::downgrade(&self.cell);
        // the last one forgets it, however it ended
        if Arc::strong_count(&self.cell) == 1
            && all.get(&self.key).is_some_and(|cell| cell.ptr_eq(&own))
        {
            all.remove(&self.key);
        }
    }
}
