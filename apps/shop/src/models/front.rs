use serde::{Deserialize, Serialize};
use tenantry::scoped::settings::{FieldErrors, Settings};

use crate::validate;

/// How a shop's front shows its products.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Front {
    /// A line above the products.
    pub(crate) announcement: Option<String>,
    /// Whether visitors see what things cost.
    pub(crate) show_prices: bool,
}

impl Default for Front {
    fn default() -> Self {
        Self {
            announcement: None,
            show_prices: true,
        }
    }
}

impl Settings for Front {
    const NAME: &'static str = "storefront";

    fn validate(&self) -> Result<(), FieldErrors> {
        let Some(announcement) = &self.announcement else {
            return Ok(());
        };
        let said = validate::text(announcement, 200).map(drop);
        said.map_err(|error| [("announcement".into(), vec![error])].into())
    }
}
