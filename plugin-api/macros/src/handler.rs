//! One method marked `#[handler]`: what it takes, what it returns, and its row in the table.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, Error, Ident, ImplItemFn, Result, Type, ext::IdentExt, spanned::Spanned};

use crate::{
    attributes::{HandlerKeys, description},
    features::Features,
    signature::{Ending, Shape},
};

/// The host's own functions have names that begin so.
const HOST_PREFIX: &str = "host.";

pub(crate) struct Handler {
    pub(crate) name: String,
    pub(crate) ident: Ident,
    /// Its `#[cfg]`s: the row in the table comes and goes with the method.
    pub(crate) cfgs: Vec<Attribute>,
    description: String,
    timeout_ms: Option<u64>,
    shape: Shape,
}

impl Handler {
    pub(crate) fn parse(
        attribute: &Attribute,
        method: &ImplItemFn,
        features: Features,
    ) -> Result<Self> {
        let keys = HandlerKeys::parse(attribute)?;
        let signature = &method.sig;
        let name = keys
            .name
            .unwrap_or_else(|| signature.ident.unraw().to_string());
        if name.starts_with(HOST_PREFIX) {
            return Err(Error::new_spanned(
                attribute,
                "names that begin with `host.` are reserved for the host; give this function another name",
            ));
        }
        Ok(Self {
            name,
            ident: signature.ident.clone(),
            cfgs: cfgs(&method.attrs),
            description: description(&method.attrs),
            timeout_ms: keys.timeout_ms,
            shape: Shape::parse(signature, features)?,
        })
    }

    /// The row of the table.
    pub(crate) fn row(&self) -> TokenStream {
        let Self {
            name,
            cfgs,
            description,
            ..
        } = self;
        let timeout_ms = match self.timeout_ms {
            Some(ms) => quote!(::core::option::Option::Some(#ms)),
            None => quote!(::core::option::Option::None),
        };
        let args = self.args_type();
        // Spanned to the types, so that the error of a missing derive points there.
        let args_schema =
            quote_spanned!(args.span()=> ::plugin_api::__private::args_schema::<#args>);
        let result_schema = match &self.shape.ending {
            Ending::Returns { output, .. } | Ending::Future { output, .. } => {
                quote_spanned!(output.span()=> ::plugin_api::__private::returned_schema::<#output>)
            }
            Ending::Completes { completion: ty } => {
                quote_spanned!(ty.span()=> ::plugin_api::__private::completed_schema::<#ty>)
            }
        };
        let run = self.run();
        quote! {
            #(#cfgs)*
            ::plugin_api::__private::Function {
                name: #name,
                description: #description,
                timeout_ms: #timeout_ms,
                args_schema: #args_schema,
                result_schema: #result_schema,
                run: |plugin, call| { #run },
            }
        }
    }

    fn args_type(&self) -> TokenStream {
        match &self.shape.args {
            Some(args) => quote!(#args),
            None => quote!(::plugin_api::__private::NoArgs),
        }
    }

    /// From `plugin: &Arc<Self>` and `call: Call` to an `Outcome`.
    fn run(&self) -> TokenStream {
        let ident = &self.ident;
        let args_type = self.args_type();
        let read = quote_spanned!(args_type.span()=> call.args::<#args_type>());
        let args = self.shape.args.as_ref().map(|_| quote!(args,));
        let run = match &self.shape.ending {
            Ending::Returns { takes_task, output } => {
                let task = takes_task.map(|span| quote_spanned!(span=> call.task()));
                let called = quote!(Self::#ident(plugin, #args #task));
                into_answer(output, &called)
            }
            Ending::Future { takes_task, output } => {
                let task = takes_task.map(|span| quote_spanned!(span=> &task));
                let called = quote!(Self::#ident(&plugin, #args #task).await);
                let answer = into_answer(output, &called);
                // Spanned to the name, so that the error of a future that isn't `Send` points there.
                let future = quote_spanned!(ident.span()=> future);
                quote! {
                    call.#future(plugin, |plugin, task| async move {
                        let _ = (&args, &task);
                        #answer
                    })
                }
            }
            Ending::Completes { completion } => quote! {
                call.deferred(|completion: #completion| Self::#ident(plugin, #args completion))
            },
        };
        quote! {
            match #read {
                ::core::result::Result::Ok(args) => {
                    let _ = &args;
                    #run
                }
                ::core::result::Result::Err(refused) => refused,
            }
        }
    }
}

fn into_answer(output: &Type, called: &TokenStream) -> TokenStream {
    let function = quote_spanned!(output.span()=> ::plugin_api::__private::returned::<#output>);
    // Named before it is called: what is wrong with the type is then said at the type alone.
    quote!({
        let returned = #function;
        returned(#called)
    })
}

pub(crate) fn cfgs(attributes: &[Attribute]) -> Vec<Attribute> {
    let cfgs = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    cfgs.cloned().collect()
}
