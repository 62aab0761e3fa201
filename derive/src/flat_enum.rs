//! `FlatStruct` for enumerations (type `e32`).

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{DataEnum, DeriveInput, Error, Fields};

use crate::attributes::{Repr, TypeAttributes, idl_name};

pub(crate) fn expand(input: &DeriveInput, data: &DataEnum) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    let repr = Repr::of(&input.attrs)?;
    let number = match (repr.find("u32"), repr.find("i32")) {
        (Some(_), _) => format_ident!("u32"),
        (None, Some(_)) => format_ident!("i32"),
        (None, None) => {
            return Err(Error::new_spanned(
                ident,
                format!(
                    "FlatStruct: an IDL enum has 32 bits; add #[repr(u32)] (or #[repr(i32)]) \
                     to `{ident}`"
                ),
            ));
        }
    };
    if data.variants.is_empty() {
        return Err(Error::new_spanned(
            ident,
            "FlatStruct: an enum without enumerators has no value",
        ));
    }
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "FlatStruct: an IDL enumerator has no fields; use a struct with this enum as \
                 discriminator and all members",
            ));
        }
        if let Some(attribute) = variant.attrs.iter().find(|a| a.path().is_ident("flat")) {
            return Err(Error::new_spanned(
                attribute,
                "FlatStruct: enumerators take no #[flat(…)]: their names are not part of the layout",
            ));
        }
    }
    let name = match TypeAttributes::of(&input.attrs)?.name {
        Some(name) => name,
        None => idl_name(ident, "add `#[flat(name = \"…\")]` to the enum")?,
    };
    let variants = data.variants.iter().map(|variant| &variant.ident);
    let wrong_size =
        format!("FlatStruct: an IDL enum has 32 bits; leave #[repr(align(…))] away from `{ident}`");

    Ok(quote! {
        const _: () = ::core::assert!(
            ::core::mem::size_of::<#ident>() == 4
                && ::core::mem::align_of::<#ident>() == ::core::mem::align_of::<u32>(),
            #wrong_size
        );

        // SAFETY: 32 bits without padding or pointers; check_values admits its enumerators only.
        #[automatically_derived]
        unsafe impl ::dds_shm::types::FlatStruct for #ident {
            const TYPE_NAME: &'static ::core::primitive::str = #name;
            const LAYOUT: &'static ::dds_shm::types::Layout =
                &::dds_shm::types::Layout::Scalar(::dds_shm::types::Scalar::E32);
            const IN_PLACE: ::core::primitive::bool = false;
            const HAS_PADDING: ::core::primitive::bool = false;
            const HAS_KEY: ::core::primitive::bool = false;
            const KEY_IS_AMBIGUOUS: ::core::primitive::bool = false;

            fn check_values(
                bytes: &[::core::primitive::u8],
            ) -> ::core::result::Result<(), ::dds_shm::types::derive_support::BadValue> {
                let found = ::dds_shm::types::derive_support::discriminant(bytes)
                    as ::core::primitive::#number;
                if false #(|| found == #ident::#variants as ::core::primitive::#number)* {
                    return ::core::result::Result::Ok(());
                }
                ::core::result::Result::Err(::dds_shm::types::derive_support::BadValue {
                    offset: 0,
                    found: found as ::core::primitive::i64,
                    kind: ::dds_shm::types::ValueKind::Enumerator(#name),
                })
            }

            fn zero_padding(_: &mut [::core::primitive::u8]) {}

            fn write_key(&self, key: &mut ::dds_shm::types::KeyHolder) {
                key.put((*self as ::core::primitive::#number).to_be_bytes());
            }
        }
    })
}
