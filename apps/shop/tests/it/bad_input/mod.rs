//! What clients should not send, and some do. The answer is never a 500 nor a broken connection,
//! nothing panics (every server's stderr is looked at when it ends), and nothing is damaged.

mod bodies;
mod requests;

use crate::support::{Shop, unique};

/// Fails unless the shop works as before, with just these products.
async fn is_intact(shop: &Shop, products: usize) {
    assert_eq!(
        shop.visitor().get("/api/products").await.ids().len(),
        products
    );
    let works = shop.stock("Spade", &unique("intact"), "1").await;
    let path = format!("/api/products/{}", works["id"].as_str().unwrap());
    shop.as_owner().delete(&path).await.is(204);
}
