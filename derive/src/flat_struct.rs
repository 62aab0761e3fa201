//! `FlatStruct` for structures.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{DataStruct, DeriveInput, Error, Fields, Ident, Type};

use crate::{
    attributes::{MemberAttributes, Repr, TypeAttributes, idl_name},
    member_type,
};

/// A member that DDS knows of, or padding.
struct Member<'a> {
    ident: &'a Ident,
    member_type: &'a Type,
    name: String,
    attributes: MemberAttributes,
}

pub(crate) fn expand(input: &DeriveInput, data: &DataStruct) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    check_repr(input)?;
    let name = match TypeAttributes::of(&input.attrs)?.name {
        Some(name) => name,
        None => idl_name(ident, "add `#[flat(name = \"…\")]` to the struct")?,
    };
    let members = members_of(ident, data)?;

    let assertions = assertions(ident, &members);
    let flat = quote!(::dds_shm::types::FlatStruct);
    let support = quote!(::dds_shm::types::derive_support);
    let bool_type = quote!(::core::primitive::bool);

    let (padding, visible): (Vec<_>, Vec<_>) = members.iter().partition(|m| m.attributes.pad);
    let keys: Vec<_> = visible.iter().filter(|member| member.attributes.key).collect();
    let has_key = !keys.is_empty();
    let holder: Vec<_> = visible.iter().filter(|m| m.attributes.key || !has_key).collect();

    let entries = visible.iter().map(|Member { ident, member_type, name, attributes }| {
        let layout = if attributes.char {
            quote!(<#member_type as #support::Octets>::CHARS)
        } else {
            quote!(<#member_type as #flat>::LAYOUT)
        };
        quote! {
            ::dds_shm::types::Member {
                offset: ::core::mem::offset_of!(Self, #ident),
                name: #name,
                layout: #layout,
            }
        }
    });
    let visible_types: Vec<_> = visible.iter().map(|member| member.member_type).collect();
    let visible_idents: Vec<_> = visible.iter().map(|member| member.ident).collect();
    let padding_types = padding.iter().map(|member| member.member_type);
    let padding_idents = padding.iter().map(|member| member.ident);
    let is_padded = !padding.is_empty();
    let holder_types: Vec<_> = holder.iter().map(|member| member.member_type).collect();
    let holder_idents = holder.iter().map(|member| member.ident);

    Ok(quote! {
        #assertions

        // SAFETY: repr(C) (checked by the derive); no octets between and behind the members, and
        // their types as given here (asserted above); each member is flat itself (the bounds of
        // the functions called), and offsets are the compiler's.
        #[automatically_derived]
        unsafe impl #flat for #ident {
            const TYPE_NAME: &'static ::core::primitive::str = #name;
            const LAYOUT: &'static ::dds_shm::types::Layout = &::dds_shm::types::Layout::Struct {
                size: ::core::mem::size_of::<Self>(),
                align: ::core::mem::align_of::<Self>(),
                members: &[#(#entries),*],
            };
            const IN_PLACE: #bool_type = true #(&& <#visible_types as #flat>::IN_PLACE)*;
            const HAS_PADDING: #bool_type =
                #is_padded #(|| <#visible_types as #flat>::HAS_PADDING)*;
            const HAS_KEY: #bool_type = #has_key;
            const KEY_IS_AMBIGUOUS: #bool_type =
                false #(|| <#holder_types as #flat>::KEY_IS_AMBIGUOUS)*;

            fn check_values(
                bytes: &[::core::primitive::u8],
            ) -> ::core::result::Result<(), #support::BadValue> {
                #(#support::check_member::<#visible_types>(
                    bytes,
                    ::core::mem::offset_of!(Self, #visible_idents),
                )?;)*
                ::core::result::Result::Ok(())
            }

            fn zero_padding(bytes: &mut [::core::primitive::u8]) {
                #(#support::zero_member::<#padding_types>(
                    bytes,
                    ::core::mem::offset_of!(Self, #padding_idents),
                );)*
                #(#support::zero_padding_in::<#visible_types>(
                    bytes,
                    ::core::mem::offset_of!(Self, #visible_idents),
                );)*
            }

            fn write_key(&self, key: &mut ::dds_shm::types::KeyHolder) {
                #(<#holder_types as #flat>::write_key(&self.#holder_idents, key);)*
            }
        }
    })
}

/// `repr(C)`, not packed.
fn check_repr(input: &DeriveInput) -> syn::Result<()> {
    let repr = Repr::of(&input.attrs)?;
    if let Some(packed) = repr.find("packed") {
        return Err(Error::new_spanned(
            packed,
            "FlatStruct: members of a packed struct cannot be borrowed in place; \
             use #[repr(C)] and #[flat(pad)] members",
        ));
    }
    if repr.find("C").is_none() {
        return Err(Error::new_spanned(
            &input.ident,
            format!(
                "FlatStruct: the compiler may order the members of `{}` as it likes; \
                 add #[repr(C)]",
                input.ident
            ),
        ));
    }
    Ok(())
}

fn members_of<'a>(ident: &Ident, data: &'a DataStruct) -> syn::Result<Vec<Member<'a>>> {
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            ident,
            format!(
                "FlatStruct: the members of `{ident}` have no names, and DDS identifies them by \
                 name; write `struct {ident} {{ name: type, … }}`"
            ),
        ));
    };
    let mut members = Vec::new();
    let mut names = HashSet::new();
    for field in &fields.named {
        // Named fields have one.
        let Some(field_ident) = &field.ident else { continue };
        member_type::check(&field.ty)?;
        let attributes = MemberAttributes::of(&field.attrs)?;
        let name = match &attributes.rename {
            Some(name) => name.clone(),
            None if attributes.pad => field_ident.to_string(),
            None => idl_name(field_ident, "add `#[flat(rename = \"…\")]` to the member")?,
        };
        if !attributes.pad && !names.insert(name.clone()) {
            return Err(Error::new_spanned(
                field_ident,
                format!("FlatStruct: two members are named `{name}`; change one `rename`"),
            ));
        }
        members.push(Member { ident: field_ident, member_type: &field.ty, name, attributes });
    }
    if members.iter().all(|member| member.attributes.pad) {
        return Err(Error::new_spanned(
            ident,
            format!("FlatStruct: `{ident}` needs at least one member: there is nothing to publish"),
        ));
    }
    Ok(members)
}

/// What the compiler checks once it knows the types.
fn assertions(ident: &Ident, members: &[Member<'_>]) -> TokenStream {
    let text = ident.to_string();
    let mut end_of_previous = quote!(0);
    let mut checks = Vec::new();
    for Member { ident: member, member_type, attributes, .. } in members {
        // Shown at the member, but resolved where the derive stands.
        let span = member.span().resolved_at(Span::call_site());
        let support = quote_spanned!(span=> ::dds_shm::types::derive_support);
        let name = member.to_string();
        checks.push(quote_spanned! {span=>
            #support::assert_no_gap(
                #text,
                #name,
                #end_of_previous,
                ::core::mem::offset_of!(#ident, #member),
            );
            #support::assert_not_empty::<#member_type>(#text, #name);
        });
        end_of_previous = quote! {
            ::core::mem::offset_of!(#ident, #member) + ::core::mem::size_of::<#member_type>()
        };
        if attributes.pad {
            checks.push(quote_spanned!(span=> #support::assert_octets::<#member_type>();));
        }
        if attributes.key {
            checks.push(quote_spanned! {span=>
                #support::assert_key::<#member_type>(#text, #name);
            });
        }
    }
    let span = ident.span().resolved_at(Span::call_site());
    checks.push(quote_spanned! {span=>
        ::dds_shm::types::derive_support::assert_no_tail(
            #text,
            #end_of_previous,
            ::core::mem::size_of::<#ident>(),
        );
    });

    let idents = members.iter().map(|member| member.ident);
    let types = members.iter().map(|member| member.member_type);
    let locals: Vec<_> = (0..members.len()).map(|index| format_ident!("member_{index}")).collect();
    quote! {
        const _: () = { #(#checks)* };

        // Another attribute may have changed the struct behind the derive's back: these are all
        // of its members, and of these types.
        const _: fn(&#ident) = |value| {
            let #ident { #(#idents: #locals),* } = value;
            #(let _: &#types = #locals;)*
        };
    }
}
