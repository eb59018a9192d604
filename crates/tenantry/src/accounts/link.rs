use uuid::Uuid;

use super::{Account, AccountError, Accounts, token::TOKENS};
use crate::{
    db::{CentralTx, DbError},
    scoped::mail::Mail,
    users::{IssuedLink, Purpose, mailed::Mailed, normalise},
};

const MAILED: Mailed = Mailed {
    links: "tenantry_account_links",
    mark: "tnp_",
};

/// What is mailed to people outside of tenants. A link is 32 random bytes, of which the SHA-256 is
/// kept, and good once; using it and what it is used for are one transaction.
impl Accounts<'_> {
    /// A link to set a new password, for whoever has that address; `None` when nobody has. The same
    /// work is done for both, and the answer to whoever asked must be the same too. The account's
    /// earlier ones end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reset_password(&self, email: &str) -> Result<Option<IssuedLink>, DbError> {
        let email = normalise(email);
        let account = match self.by_email(&email).await {
            Ok(account) => Some(account).filter(|account| account.disabled_at.is_none()),
            Err(DbError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let whose = account.map(|account| account.id);
        let link = self.link(Purpose::ResetPassword, whose, &email).await?;
        Ok(whose.map(|_| link))
    }

    /// A link that makes `email` the account's address, to be mailed there. Whether the address is
    /// taken comes out when the link is used, so that nobody finds out who has an account. Who asks
    /// for it [confirms](Self::confirm) with their password first.
    ///
    /// # Errors
    /// [`DbError::ForeignKey`] when there is no such account.
    pub async fn change_email(&self, id: Uuid, email: &str) -> Result<IssuedLink, DbError> {
        self.link(Purpose::ChangeEmail, Some(id), &normalise(email))
            .await
    }

    async fn link(
        &self,
        purpose: Purpose,
        whose: Option<Uuid>,
        email: &str,
    ) -> Result<IssuedLink, DbError> {
        let mut tx = self.db.begin();
        let link = MAILED
            .issue::<_, Account>(&mut tx, purpose, whose, email)
            .await?;
        tx.commit().await?;
        Ok(link)
    }

    /// The address a good link was sent to, without using it up: for the page that it opens.
    ///
    /// # Errors
    /// [`AccountError::Link`].
    pub async fn look_at(&self, purpose: Purpose, secret: &str) -> Result<String, AccountError> {
        MAILED
            .look_at::<_, Account>(&mut self.db.clone(), purpose, secret)
            .await?
            .ok_or(AccountError::Link)
    }

    /// Sets a new password by the link for it. All that the account was signed in with ends.
    ///
    /// # Errors
    /// [`AccountError::Link`]; when the password cannot be taken, the link stays good.
    pub async fn set_password_by_link(
        &self,
        secret: &str,
        password: &str,
    ) -> Result<Account, AccountError> {
        // before the work of hashing, and the outcome may change until it is done
        self.look_at(Purpose::ResetPassword, secret).await?;
        let hash = self.passwords().hash(password).await?;
        let mut tx = self.db.begin();
        let (id, _) = take(&mut tx, Purpose::ResetPassword, secret).await?;
        let account = tx
            .query(&format!(
                "UPDATE tenantry_accounts SET password_hash = $2 WHERE id = $1 RETURNING {}",
                super::account::COLUMNS
            ))
            .bind(id)
            .bind(hash)
            .one()
            .await?;
        end_access(&mut tx, id).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// Makes the address that a link of [`change_email`](Self::change_email) was sent to the
    /// account's, and returns the one it had before. What was mailed to that is worth nothing any
    /// more.
    ///
    /// # Errors
    /// [`AccountError::Link`]; [`AccountError::EmailTaken`] when somebody else has the address by
    /// now.
    pub async fn confirm_email(&self, secret: &str) -> Result<(String, Account), AccountError> {
        let mut tx = self.db.begin();
        let (id, email) = take(&mut tx, Purpose::ChangeEmail, secret).await?;
        let (before,): (String,) = tx
            .query("SELECT email FROM tenantry_accounts WHERE id = $1")
            .bind(id)
            .one()
            .await?;
        let account = tx
            .query(&format!(
                "UPDATE tenantry_accounts SET email = $2 WHERE id = $1 RETURNING {}",
                super::account::COLUMNS
            ))
            .bind(id)
            .bind(email)
            .one()
            .await?;
        end_links(&mut tx, id).await?;
        tx.commit().await?;
        Ok((before, account))
    }

    /// Mail in the name of the deployment, which is called `name`: what people outside of tenants
    /// are written.
    #[must_use]
    pub fn mail(&self, name: &str) -> Mail {
        Mail::central(name, &self.tenancy.0.mail_address, &self.tenancy.0.mailer)
    }
}

async fn take(
    tx: &mut CentralTx,
    purpose: Purpose,
    secret: &str,
) -> Result<(Uuid, String), AccountError> {
    MAILED
        .take::<_, Account, (Uuid, String)>(tx, purpose, secret, "account_id, email")
        .await?
        .ok_or(AccountError::Link)
}

/// Ends all that the account is signed in with, and what was mailed to it.
pub(super) async fn end_access(tx: &mut CentralTx, id: Uuid) -> Result<(), DbError> {
    TOKENS.end_all(tx, id).await?;
    end_links(tx, id).await
}

async fn end_links(tx: &mut CentralTx, id: Uuid) -> Result<(), DbError> {
    tx.query("DELETE FROM tenantry_account_links WHERE account_id = $1")
        .bind(id)
        .execute()
        .await
        .map(drop)
}
