//! What can be done besides making, changing and removing.

use tenantry::routing::Action;

use crate::models::invoice::Invoice;

/// To look at the company.
pub(crate) struct ReadCompany;

impl Action for ReadCompany {
    type On = ();
    const NAME: &'static str = "readCompany";
}

/// To see who its members are.
pub(crate) struct ReadMembers;

impl Action for ReadMembers {
    type On = ();
    const NAME: &'static str = "readMembers";
}

/// To invite, change and send away members.
pub(crate) struct ManageMembers;

impl Action for ManageMembers {
    type On = ();
    const NAME: &'static str = "manageMembers";
}

/// To pass the company on.
pub(crate) struct TransferOwnership;

impl Action for TransferOwnership {
    type On = ();
    const NAME: &'static str = "transferOwnership";
}

/// To send an invoice, which gives it its number.
pub(crate) struct SendInvoice;

impl Action for SendInvoice {
    type On = Invoice;
    const NAME: &'static str = "sendInvoice";
}

/// To void an invoice that was sent.
pub(crate) struct VoidInvoice;

impl Action for VoidInvoice {
    type On = Invoice;
    const NAME: &'static str = "voidInvoice";
}
