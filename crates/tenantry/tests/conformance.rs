//! The conformance suite: every case on every isolation, each a test by its own name.

use libtest_mimic::{Arguments, Failed, Trial};
use tenantry::{
    tenant::Isolation,
    testing::conformance::{Case, cases, place},
};

fn main() {
    let trials = Isolation::ALL
        .into_iter()
        .flat_map(|isolation| cases().map(move |case| trial(isolation, case)))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(isolation: Isolation, case: Case) -> Trial {
    Trial::test(format!("{isolation}::{}", case.name), move || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(Failed::from)?
            .block_on(async move { (case.run)(place(isolation).await).await });
        Ok(())
    })
}
