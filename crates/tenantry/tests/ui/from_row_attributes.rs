use tenantry::db::FromRow;

#[derive(FromRow)]
struct Misspelt {
    #[row(renamed = "title")]
    name: String,
}

#[derive(FromRow)]
struct Unquoted {
    #[row(rename = title)]
    name: String,
}

#[derive(FromRow)]
struct Bare {
    #[row]
    name: String,
}

#[derive(FromRow)]
struct Contrary {
    #[row(flatten, rename = "price")]
    price: Price,
}

#[derive(FromRow)]
struct Price {
    amount: i64,
}

fn main() {}
