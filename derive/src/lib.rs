//! `#[derive(FlatStruct)]` for `dds-shm`; see the trait `dds_shm::FlatStruct` for what it means
//! and for its attributes.
//!
//! What can be told from the tokens is refused here, with a message at the offending token. What
//! takes type information (padding, an alias of `usize`) is refused by the code that is made: it
//! contains assertions that are evaluated when the type is compiled.

mod attributes;
mod flat_enum;
mod flat_struct;
mod member_type;

use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, Error, parse_macro_input};

/// Implements `dds_shm::FlatStruct`: see there.
#[proc_macro_derive(FlatStruct, attributes(flat))]
pub fn derive_flat_struct(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "FlatStruct: a generic type has no one layout to advertise; \
             derive FlatStruct on a struct without parameters, e.g. `struct PoseOf3 { … }`",
        ));
    }
    match &input.data {
        Data::Struct(data) => flat_struct::expand(input, data),
        Data::Enum(data) => flat_enum::expand(input, data),
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "FlatStruct: nothing in a union says which of its members is there; \
             use a struct with a discriminator and all members, or an array of octets",
        )),
    }
}
