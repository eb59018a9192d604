//! Connections: one tenant's slow statements leave some for the others.

use futures_util::future::join_all;

use super::*;

list! { "limits":
    slow_statements_of_one_leave_connections_to_others,
}

/// More than there are connections, and threads for a file.
const MANY: usize = 40;

async fn slow_statements_of_one_leave_connections_to_others(place: Place) {
    let noisy = place.db("acme").await;
    let quiet = place.db("globex").await;
    add_note(&quiet, 1, "quiet").await;
    let slow: Vec<_> = (0..MANY)
        .map(|_| {
            let noisy: TenantDb = noisy.clone();
            tokio::spawn(async move { noisy.query(ENDLESS).scalar::<i64>().await })
        })
        .collect();
    tokio::time::sleep(A_WHILE).await;
    // each by itself takes no time: whoever waited for the noisy one would wait for its statements' end
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(count_notes(&quiet).await, 1);
        let mut tx = quiet.begin();
        let sql = "UPDATE notes SET text = 'still' WHERE id = 1";
        assert_eq!(tx.query(sql).execute().await.unwrap(), 1);
        tx.commit().await.unwrap();
    }
    assert!(begun.elapsed() < AT_ONCE / 3, "{:?}", begun.elapsed());
    // the control: they were slow, and all of them under way or waiting
    assert!(slow.iter().all(|one| !one.is_finished()));
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    for ended in join_all(slow).await {
        assert!(ended.unwrap_err().is_cancelled());
    }
    // and the noisy one has its connections back
    at_once(count_notes(&noisy)).await;
}
