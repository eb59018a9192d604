//! Mistakes that must not compile, and what the compiler says to them.
//!
//! After a change that alters what it says, `TRYBUILD=overwrite cargo test --test ui` writes it
//! down anew; read the difference.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
