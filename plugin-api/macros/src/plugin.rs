//! The `impl` block above which `#[plugin]` stands.

use std::collections::BTreeMap;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, FnArg, ImplItem, ImplItemFn, Item, ItemImpl, Result, ReturnType, Type,
    parse_quote, spanned::Spanned,
};

use crate::{
    attributes::{PluginKeys, SLOTS_MAX},
    features::Features,
    handler::{Handler, cfgs},
    signature::borrows,
};

/// The symbol that loaders look for. plugin-api compares it with the constant of `abi_stable` whenever a plugin is
/// compiled.
const HEADER_SYMBOL: &str = "_1as_0lib_1header_0root_bmodule_bloader";

const NO_HANDLERS: &str = "a plugin has at least one handler; write `#[handler]` above a method \
    `fn name(&self, args: T, task: &Task) -> Result<R, TaskError>`";
const TWO_ATTRIBUTES: &str = "this method has `#[handler]` twice; write it once, with all keys";
const OPEN_SHAPE: &str = "`open` opens the plugin: `fn open(config: C) -> Result<Self, \
    PluginError>`, or without the config";
const BORROWED_CONFIG: &str = "`open` owns its configuration: write a type without references \
    and lifetimes, `String` in place of `&str`";
const SHAPE: &str = "`#[plugin]` goes above `impl YourPlugin { … }`, the block with the handlers";

/// The item without our attributes, and either the plugin or the errors.
pub(crate) fn expand(
    attribute: TokenStream,
    item: &TokenStream,
    features: Features,
) -> TokenStream {
    let mut block = match parse_block(item) {
        Ok(block) => block,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let keys = PluginKeys::parse(attribute);
    let parts = Parts::take(&mut block, features);
    if let Err(error) = check_block(&block) {
        // Other errors may well follow from this one.
        let error = error.into_compile_error();
        return quote!(#block #error);
    }
    let generated = match (keys, parts) {
        (Ok(keys), Ok(parts)) => generate(&block, &keys, &parts),
        (Err(mut error), Err(other)) => {
            error.combine(other);
            error.into_compile_error()
        }
        (Err(error), _) | (_, Err(error)) => error.into_compile_error(),
    };
    quote!(#block #generated)
}

/// The error for a `#[handler]` outside of a `#[plugin]` block.
pub(crate) fn refuse_stray_handler(item: &TokenStream) -> TokenStream {
    let text = "`#[handler]` marks a method of a plugin; write `#[plugin]` above the `impl` block it is in";
    let error = Error::new(Span::call_site(), text).into_compile_error();
    quote!(#item #error)
}

fn parse_block(item: &TokenStream) -> Result<ItemImpl> {
    match syn::parse2(item.clone())? {
        Item::Impl(block) => Ok(block),
        _ => Err(Error::new(Span::call_site(), SHAPE)),
    }
}

fn check_block(block: &ItemImpl) -> Result<()> {
    if let Some((path, _)) = &block.trait_ {
        let text = format!("{SHAPE}; not above the `impl` of a trait");
        return Err(Error::new_spanned(path, text));
    }
    if !block.generics.params.is_empty() || block.generics.where_clause.is_some() {
        let text =
            "a plugin can't be generic: the host opens one type; write `impl YourPlugin { … }`";
        return Err(Error::new_spanned(&block.generics.params, text));
    }
    Ok(())
}

/// What `#[plugin]` makes use of in its block.
struct Parts {
    handlers: Vec<Handler>,
    /// If there is none, the plugin is opened by `Default`.
    open: Option<Open>,
}

/// The function `open`.
struct Open {
    config: Option<Type>,
    output: Type,
}

impl Parts {
    /// Takes our attributes out of the block. All errors are reported at once.
    fn take(block: &mut ItemImpl, features: Features) -> Result<Self> {
        let mut handlers: Vec<Handler> = Vec::new();
        let mut open = None;
        let mut complaints = Complaints::default();
        let mut marked = false;
        for item in &mut block.items {
            let ImplItem::Fn(method) = item else { continue };
            let attributes = take_handler_attributes(method);
            if let Some((attribute, others)) = attributes.split_first() {
                marked = true;
                for other in others {
                    complaints.add(Error::new_spanned(other, TWO_ATTRIBUTES));
                }
                match Handler::parse(attribute, method, features) {
                    Ok(handler) => {
                        method.attrs.push(tolerate());
                        handlers.push(handler);
                    }
                    Err(error) => complaints.add(error),
                }
            } else if method.sig.ident == "open" {
                match parse_open(method) {
                    Ok(found) => {
                        method.attrs.push(tolerate());
                        open = Some(found);
                    }
                    Err(error) => complaints.add(error),
                }
            }
        }
        if !marked {
            complaints.add(Error::new_spanned(&block.self_ty, NO_HANDLERS));
        }
        complaints.check(check_unique(&twins(&handlers)));
        complaints.into_result()?;
        Ok(Self { handlers, open })
    }
}

#[derive(Default)]
struct Complaints(Option<Error>);

impl Complaints {
    fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn check(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.add(error);
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Silences lints about the shape of handlers and of `open`, which the author can't choose.
fn tolerate() -> Attribute {
    parse_quote! {
        #[allow(
            clippy::needless_pass_by_value,
            clippy::unnecessary_wraps,
            clippy::unused_async,
            clippy::unused_self,
            reason = "the shape is the one that a plugin needs"
        )]
    }
}

fn take_handler_attributes(method: &mut ImplItemFn) -> Vec<Attribute> {
    let is_ours = |attribute: &mut Attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|segment| segment.ident == "handler")
    };
    method.attrs.extract_if(.., is_ours).collect()
}

/// The handlers that share a function name, by name and in the author's order.
fn twins(handlers: &[Handler]) -> Vec<Vec<&Handler>> {
    let mut by_name: BTreeMap<&str, Vec<&Handler>> = BTreeMap::new();
    for handler in handlers {
        by_name.entry(&handler.name).or_default().push(handler);
    }
    by_name.retain(|_, handlers| handlers.len() > 1);
    by_name.into_values().collect()
}

/// Handlers under `#[cfg]` may share a name, as only one of them may be there: the compiler counts them once it knows.
fn check_unique(twins: &[Vec<&Handler>]) -> Result<()> {
    let mut complaints = Complaints::default();
    for handlers in twins {
        let mut certain = handlers.iter().filter(|handler| handler.cfgs.is_empty());
        if let Some(first) = certain.next() {
            for other in certain {
                let text = format!(
                    "the method `{}` already has the function name `{}`; give one of them another \
                     name: `#[handler(name = \"…\")]`",
                    first.ident, other.name
                );
                complaints.add(Error::new_spanned(&other.ident, text));
            }
        }
    }
    complaints.into_result()
}

/// Counts the handlers of one name that are there.
fn count_twins(handlers: &[&Handler]) -> TokenStream {
    let (name, ident) = (&handlers[0].name, &handlers[0].ident);
    let text = format!(
        "more than one handler has the function name `{name}`; give them names of their own: \
         `#[handler(name = \"…\")]`"
    );
    let cfgs = handlers.iter().map(|handler| &handler.cfgs);
    let count = quote_spanned!(ident.span()=> ::plugin_api::__private::only_one);
    quote!(const _: () = #count(&[#(#(#cfgs)* ()),*], #text);)
}

fn parse_open(method: &ImplItemFn) -> Result<Open> {
    let signature = &method.sig;
    if let Some(asyncness) = &signature.asyncness {
        let text = format!(
            "{OPEN_SHAPE}; it can't be async: make what needs the \
             runtime in the first handler that uses it"
        );
        return Err(Error::new_spanned(asyncness, text));
    }
    let (ReturnType::Type(_, output), true) =
        (&signature.output, signature.generics.params.is_empty())
    else {
        return Err(Error::new_spanned(&signature.ident, OPEN_SHAPE));
    };
    let output = Type::clone(output);
    let mut inputs = signature.inputs.iter();
    match (inputs.next(), inputs.next()) {
        (None, _) => Ok(Open {
            config: None,
            output,
        }),
        (Some(FnArg::Typed(typed)), None) if borrows(&typed.ty) => {
            Err(Error::new_spanned(&typed.ty, BORROWED_CONFIG))
        }
        (Some(FnArg::Typed(typed)), None) => Ok(Open {
            config: Some(Type::clone(&typed.ty)),
            output,
        }),
        (Some(FnArg::Receiver(receiver)), _) => {
            let text = format!("{OPEN_SHAPE}; give any other method another name");
            Err(Error::new_spanned(receiver, text))
        }
        (_, Some(second)) => Err(Error::new_spanned(second, OPEN_SHAPE)),
    }
}

/// From `config: &[u8]` to a `Result<Self, PluginError>`; spanned to the types, so that errors point there.
fn open_body(plugin: &Type, open: Option<&Open>) -> TokenStream {
    let no_config = quote!(::plugin_api::__private::no_config(config)?;);
    let Some(Open { config, output }) = open else {
        let default =
            quote_spanned!(plugin.span()=> ::plugin_api::__private::opened_by_default::<#plugin>);
        return quote!(#no_config ::core::result::Result::Ok(#default()));
    };
    let opened = quote_spanned!(output.span()=> ::plugin_api::__private::opened::<Self, #output>);
    let Some(config) = config else {
        return quote!(#no_config #opened(Self::open()));
    };
    let read = quote_spanned!(config.span()=> ::plugin_api::__private::config::<#config>);
    quote! {
        let config = #read(config)?;
        #opened(Self::open(config))
    }
}

fn generate(block: &ItemImpl, keys: &PluginKeys, parts: &Parts) -> TokenStream {
    let plugin = &block.self_ty;
    let cfgs = cfgs(&block.attrs);
    let name = match &keys.name {
        Some(name) => quote!(#name),
        None => quote!(::core::env!("CARGO_CRATE_NAME")),
    };
    let cpu_bound = keys.cpu_bound;
    let slots = match keys.slots {
        Some(slots) => quote!(::core::option::Option::Some(#slots)),
        None => quote!(::core::option::Option::None),
    };
    let rows = parts.handlers.iter().map(Handler::row);
    let twins = twins(&parts.handlers);
    let counts = twins.iter().map(|handlers| count_twins(handlers));
    let open = open_body(plugin, parts.open.as_ref());
    let implement =
        quote_spanned!(plugin.span()=> impl ::plugin_api::__private::Plugin for #plugin);
    // Two of them can't be: the compiler says so, at the plugin, and before the linker speaks of symbols.
    let only_one = Ident::new("a_library_holds_one_plugin", plugin.span());
    quote! {
        #(#cfgs)*
        const _: () = {
            #[doc(hidden)]
            #[macro_export]
            #[allow(non_local_definitions, reason = "it is there to be found by another one")]
            macro_rules! #only_one {
                () => {};
            }

            const _: () = ::plugin_api::__private::slots_max(#SLOTS_MAX);
            #(#counts)*

            #implement {
                const NAME: &'static str = #name;
                const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
                const CPU_BOUND: bool = #cpu_bound;
                const SLOTS: ::core::option::Option<u32> = #slots;
                const FUNCTIONS: &'static [::plugin_api::__private::Function<Self>] = &[#(#rows),*];

                fn open(config: &[u8]) -> ::core::result::Result<Self, ::plugin_api::PluginError> {
                    #open
                }
            }

            impl ::plugin_api::__private::Exported for #plugin {
                fn instance() -> &'static ::plugin_api::__private::Instance<Self> {
                    static INSTANCE: ::plugin_api::__private::Instance<#plugin> =
                        ::plugin_api::__private::Instance::new();
                    &INSTANCE
                }
            }

            #[unsafe(export_name = #HEADER_SYMBOL)]
            pub static HEADER: ::plugin_api::__private::LibHeader =
                ::plugin_api::__private::header::<#plugin>(#HEADER_SYMBOL);

            #[cfg(target_os = "linux")]
            #[used]
            #[unsafe(link_section = ".note.plugin-api")]
            static NOTE: ::plugin_api::__private::NoteBytes<
                { ::plugin_api::__private::note_len::<#plugin>() },
            > = ::plugin_api::__private::note_bytes::<#plugin, _>();
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(item: &TokenStream, futures: bool) -> String {
        expand(TokenStream::new(), item, Features { futures }).to_string()
    }

    #[test]
    fn an_async_handler_needs_the_feature() {
        let item = quote! {
            impl Mail {
                #[handler]
                async fn send(&self) -> Result<(), TaskError> {
                    Ok(())
                }
            }
        };
        let without = expanded(&item, false);
        assert!(without.contains("compile_error"), "{without}");
        assert!(
            without.contains("need the feature `async` of plugin-api"),
            "{without}"
        );
        let with = expanded(&item, true);
        assert!(!with.contains("compile_error"), "{with}");
        assert!(with.contains("call . future"), "{with}");
    }

    #[test]
    fn what_is_wrong_keeps_its_place_in_the_code() {
        let item = quote! {
            impl Mail {
                const LIMIT: u8 = 1;
                #[handler]
                fn send(self) {}
                #[handler(timeout = 1)]
                fn other(&self) -> Result<(), TaskError> {
                    Ok(())
                }
            }
        };
        let text = expanded(&item, false);
        assert!(text.contains("const LIMIT : u8 = 1"), "{text}");
        assert!(text.contains("fn send (self)"), "{text}");
        assert!(!text.contains("# [handler"), "{text}");
        assert_eq!(text.matches("compile_error").count(), 2, "{text}");
    }
}
