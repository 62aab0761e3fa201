//! `FlatStruct`, `TypeHash` and canonical layout strings.
