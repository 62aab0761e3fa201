//! `#[repr(…)]` and `#[flat(…)]`.

use std::collections::HashSet;

use syn::{
    Attribute, Error, Ident, LitStr, Meta, Path, Token, ext::IdentExt, punctuated::Punctuated,
    spanned::Spanned,
};

/// The words inside of all `#[repr(…)]` of a type.
pub(crate) struct Repr {
    words: Vec<(String, Path)>,
}

impl Repr {
    pub(crate) fn of(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut words = Vec::new();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("repr")) {
            let list =
                attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
            for meta in list {
                let path = meta.path().clone();
                if let Some(ident) = path.get_ident() {
                    words.push((ident.to_string(), path));
                }
            }
        }
        Ok(Self { words })
    }

    pub(crate) fn find(&self, word: &str) -> Option<&Path> {
        self.words.iter().find(|(found, _)| found == word).map(|(_, path)| path)
    }
}

/// `#[flat(…)]` of a type.
#[derive(Default)]
pub(crate) struct TypeAttributes {
    pub(crate) name: Option<String>,
}

impl TypeAttributes {
    pub(crate) fn of(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut found = Self::default();
        for_each_flat(attributes, |meta| {
            if meta.path.is_ident("name") {
                let literal: LitStr = meta.value()?.parse()?;
                let name = literal.value();
                if !name.split("::").all(is_identifier) {
                    return Err(Error::new(
                        literal.span(),
                        "FlatStruct: a DDS type name is made of ASCII identifiers joined by `::`, \
                         e.g. \"geometry::Pose\"",
                    ));
                }
                found.name = Some(name);
                return Ok(());
            }
            Err(meta.error(
                "FlatStruct: a type takes `#[flat(name = \"module::Type\")]`; \
                 `key`, `pad`, `char` and `rename` belong to its members",
            ))
        })?;
        Ok(found)
    }
}

/// `#[flat(…)]` of a member.
#[derive(Default)]
pub(crate) struct MemberAttributes {
    pub(crate) key: bool,
    pub(crate) pad: bool,
    pub(crate) char: bool,
    pub(crate) rename: Option<String>,
}

impl MemberAttributes {
    pub(crate) fn of(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut found = Self::default();
        for_each_flat(attributes, |meta| {
            if meta.path.is_ident("rename") {
                let literal: LitStr = meta.value()?.parse()?;
                if !is_identifier(&literal.value()) {
                    return Err(Error::new(
                        literal.span(),
                        "FlatStruct: a member's IDL name is an ASCII identifier",
                    ));
                }
                found.rename = Some(literal.value());
            } else if meta.path.is_ident("key") {
                found.key = true;
            } else if meta.path.is_ident("pad") {
                found.pad = true;
            } else if meta.path.is_ident("char") {
                found.char = true;
            } else {
                return Err(meta.error(
                    "FlatStruct: a member takes `key`, `pad`, `char` and `rename = \"…\"`",
                ));
            }
            Ok(())
        })?;
        if found.pad && (found.key || found.char || found.rename.is_some()) {
            let at = attributes.iter().find(|a| a.path().is_ident("flat"));
            return Err(Error::new(
                at.map_or_else(proc_macro2::Span::call_site, |a| a.span()),
                "FlatStruct: padding is no member for DDS: it takes no `key`, `char` or `rename`",
            ));
        }
        Ok(found)
    }
}

/// Calls `visit` for each word in `#[flat(…)]`, refusing those that come twice.
fn for_each_flat(
    attributes: &[Attribute],
    mut visit: impl FnMut(syn::meta::ParseNestedMeta<'_>) -> syn::Result<()>,
) -> syn::Result<()> {
    let mut seen = HashSet::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("flat")) {
        attribute.parse_nested_meta(|meta| {
            if let Some(word) = meta.path.get_ident()
                && !seen.insert(word.to_string())
            {
                return Err(meta.error(format!("FlatStruct: `{word}` is given twice")));
            }
            visit(meta)
        })?;
    }
    Ok(())
}

/// The name of a member or type for DDS: without `r#`, ASCII.
pub(crate) fn idl_name(ident: &Ident, remedy: &str) -> syn::Result<String> {
    let name = ident.unraw().to_string();
    if is_identifier(&name) {
        return Ok(name);
    }
    Err(Error::new_spanned(
        ident,
        format!("FlatStruct: `{name}` is no IDL name, which is an ASCII identifier; {remedy}"),
    ))
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
