use tenantry::db::FromRow;

#[derive(FromRow)]
enum Status {
    Open,
    Closed { by: String },
}

#[derive(FromRow)]
struct Pair(i64, String);

#[derive(FromRow)]
struct Nothing;

#[derive(FromRow)]
union Either {
    id: i64,
    count: u64,
}

fn main() {}
