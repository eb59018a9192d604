//! The derive macro of `tenantry`; use it as `tenantry::db::FromRow`.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, parse_macro_input, spanned::Spanned};

/// Reads a struct from a row, each field from the column of its name.
///
/// On a field, `#[row(rename = "column")]` names another column, and `#[row(flatten)]` reads a
/// field that is itself a `FromRow` from the same row.
///
/// ```
/// use tenantry::db::FromRow;
///
/// #[derive(FromRow)]
/// struct Price { amount: rust_decimal::Decimal, currency: String }
///
/// #[derive(FromRow)]
/// struct Product {
///     id: uuid::Uuid,
///     #[row(rename = "title")]
///     name: String,
///     #[row(flatten)]
///     price: Price,
/// }
/// ```
#[proc_macro_derive(FromRow, attributes(row))]
pub fn derive_from_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

fn expand(input: &DeriveInput) -> Result<Tokens, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "FromRow can be derived for a struct only: a row has no variants",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(
            input.ident.span(),
            "FromRow needs named fields, one for each column; for a few columns a plain tuple does",
        ));
    };
    let reads = fields
        .named
        .iter()
        .enumerate()
        .map(|(position, field)| read(position, field))
        .collect::<Result<Vec<_>, _>>()?;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::tenantry::db::FromRow for #name #type_generics #where_clause {
            fn from_row(
                row: &::tenantry::db::Row<'_>,
            ) -> ::core::result::Result<Self, ::tenantry::db::DbError> {
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }
    })
}

fn read(position: usize, field: &Field) -> Result<Tokens, Error> {
    let Some(ident) = &field.ident else {
        return Err(Error::new(field.span(), "the field has no name"));
    };
    let mut rename = None;
    let mut flatten = false;
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("row")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                rename = Some(meta.value()?.parse::<LitStr>()?.value());
                Ok(())
            } else if meta.path.is_ident("flatten") {
                flatten = true;
                Ok(())
            } else {
                Err(meta.error("expected `rename = \"column\"` or `flatten`"))
            }
        })?;
    }
    if flatten && rename.is_some() {
        return Err(Error::new(
            ident.span(),
            "a flattened field has no column to rename",
        ));
    }
    // spanned at the type, so that a type that cannot be read is what the compiler points at
    let span = field.ty.span();
    let ty = &field.ty;
    Ok(if flatten {
        quote_spanned! {span=> #ident: <#ty as ::tenantry::db::FromRow>::from_row(row)? }
    } else {
        let column = rename.unwrap_or_else(|| ident.to_string().trim_start_matches("r#").into());
        quote_spanned! {span=> #ident: row.field::<#ty>(#position, #column)? }
    })
}
