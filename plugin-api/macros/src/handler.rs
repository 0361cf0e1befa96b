//! One method marked `#[handler]`: what it takes, what it gives, and its line in the table.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ImplItemFn, PathArguments, ReceiverKind,
    Result, ReturnType, Safety, Signature, Type, ext::IdentExt, spanned::Spanned,
};

use crate::{
    attributes::{HandlerKeys, description},
    plugin::Features,
};

/// Names that clients know as the host's own functions.
const HOST_PREFIX: &str = "host.";

const SHAPE: &str = "write `fn name(&self, args: T, task: &Task) -> Result<R, TaskError>`, where `args` and `task` may be missing";

pub(crate) struct Handler {
    pub(crate) name: String,
    pub(crate) ident: Ident,
    /// Its `#[cfg]`s: the line in the table comes and goes with the method.
    pub(crate) cfgs: Vec<Attribute>,
    description: String,
    timeout_ms: Option<u64>,
    args: Option<Type>,
    ending: Ending,
}

/// What stands behind the arguments, and how the task is answered.
enum Ending {
    Returns { takes_task: bool, output: Type },
    Future { takes_task: bool, output: Type },
    Completes { completion: Type },
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
                "names that begin with `host.` are the host's own; give this function another name",
            ));
        }
        check_plain(signature, features)?;
        check_receiver(signature)?;
        let (args, ending) = parse_shape(signature)?;
        Ok(Self {
            name,
            ident: signature.ident.clone(),
            cfgs: cfgs(&method.attrs),
            description: description(&method.attrs),
            timeout_ms: keys.timeout_ms,
            args,
            ending,
        })
    }

    /// The line of the table.
    pub(crate) fn line(&self) -> TokenStream {
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
        // Spanned to the types, so that a missing derive is complained about there.
        let args_schema =
            quote_spanned!(args.span()=> ::plugin_api::__private::args_schema::<#args>);
        let result_schema = match &self.ending {
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
        match &self.args {
            Some(args) => quote!(#args),
            None => quote!(::plugin_api::__private::NoArgs),
        }
    }

    /// From `plugin: &Arc<Self>` and `call: Call` to an `Outcome`.
    fn run(&self) -> TokenStream {
        let ident = &self.ident;
        let args_type = self.args_type();
        let read = quote_spanned!(args_type.span()=> call.args::<#args_type>());
        let args = self.args.as_ref().map(|_| quote!(args,));
        let run = match &self.ending {
            Ending::Returns { takes_task, output } => {
                let task = takes_task.then(|| quote!(call.task()));
                let called = quote!(Self::#ident(plugin, #args #task));
                into_answer(output, &called)
            }
            Ending::Future { takes_task, output } => {
                let task = takes_task.then(|| quote!(&task));
                let called = quote!(Self::#ident(&plugin, #args #task).await);
                let answer = into_answer(output, &called);
                // Spanned to the name, so that a future that isn't `Send` is complained about there.
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
    let function = quote_spanned! {
        output.span()=> <#output as ::plugin_api::__private::Returns>::into_answer
    };
    quote!(#function(#called))
}

pub(crate) fn cfgs(attributes: &[Attribute]) -> Vec<Attribute> {
    let cfgs = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    cfgs.cloned().collect()
}

fn check_plain(signature: &Signature, features: Features) -> Result<()> {
    if let Some(asyncness) = &signature.asyncness
        && !features.futures
    {
        return Err(Error::new_spanned(
            asyncness,
            "async handlers need the feature `async` of plugin-api; write in Cargo.toml: plugin-api = { version = \"1\", features = [\"async\"] }",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a handler can't be generic: its arguments come as JSON, so that their type must be known; write the type itself",
        ));
    }
    let extra = match (&signature.safety, &signature.abi, &signature.constness) {
        (Safety::Unsafe(token), ..) => Some(token.span()),
        (_, Some(abi), _) => Some(abi.span()),
        (_, _, Some(token)) => Some(token.span()),
        _ => None,
    };
    match extra {
        Some(span) => Err(Error::new(
            span,
            "a handler is a plain `fn` or `async fn`; take this word away",
        )),
        None => Ok(()),
    }
}

fn check_receiver(signature: &Signature) -> Result<()> {
    match signature.receiver() {
        None => Err(Error::new_spanned(
            &signature.ident,
            format!("a handler takes `&self`: {SHAPE}"),
        )),
        Some(receiver) => match &receiver.kind {
            ReceiverKind::Reference(_, None, None) => Ok(()),
            ReceiverKind::Reference(_, _, Some(mutability)) => Err(Error::new_spanned(
                mutability,
                "a handler takes `&self`, since tasks may run at the same time; keep what changes in a `Mutex` or an atomic",
            )),
            _ => Err(Error::new_spanned(
                receiver,
                "a handler takes `&self`; write it just so",
            )),
        },
    }
}

enum Parameter {
    Args(Type),
    Task,
    Completion(Type),
}

fn parse_shape(signature: &Signature) -> Result<(Option<Type>, Ending)> {
    let mut args = None;
    let mut takes_task = false;
    let mut completion = None;
    for input in signature.inputs.iter().skip(1) {
        let parameter = classify(input)?;
        if takes_task || completion.is_some() {
            return Err(Error::new_spanned(
                input,
                format!("nothing comes behind the task or the completion: {SHAPE}"),
            ));
        }
        match parameter {
            Parameter::Task => takes_task = true,
            Parameter::Completion(ty) => completion = Some(ty),
            Parameter::Args(ty) if args.is_none() => args = Some(ty),
            Parameter::Args(_) => {
                let text = "a handler takes one `args`; make one struct of its arguments, the JSON object of the request";
                return Err(Error::new_spanned(input, text));
            }
        }
    }
    let ending = match completion {
        Some(completion) => parse_completing(signature, completion)?,
        None => parse_returning(signature, takes_task)?,
    };
    Ok((args, ending))
}

fn parse_completing(signature: &Signature, completion: Type) -> Result<Ending> {
    if let Some(asyncness) = &signature.asyncness {
        let text =
            "an async handler needs no completion: it is answered when it returns its `Result`";
        return Err(Error::new_spanned(asyncness, text));
    }
    if let ReturnType::Type(_, output) = &signature.output {
        let text = "a handler that takes a completion returns nothing: its answer goes through `completion.complete(…)`";
        return Err(Error::new_spanned(output, text));
    }
    Ok(Ending::Completes { completion })
}

fn parse_returning(signature: &Signature, takes_task: bool) -> Result<Ending> {
    let ReturnType::Type(_, output) = &signature.output else {
        return Err(Error::new_spanned(
            &signature.ident,
            format!(
                "a handler returns a `Result`: {SHAPE}; where there is nothing to say, `Result<(), TaskError>`"
            ),
        ));
    };
    if mentions_impl(output) {
        let text = "the result of a handler must have a name: write `Result<R, TaskError>` with the type itself, and `async fn` for a future";
        return Err(Error::new_spanned(output, text));
    }
    let output = Type::clone(output);
    Ok(if signature.asyncness.is_some() {
        Ending::Future { takes_task, output }
    } else {
        Ending::Returns { takes_task, output }
    })
}

fn classify(input: &FnArg) -> Result<Parameter> {
    let FnArg::Typed(typed) = input else {
        return Err(Error::new_spanned(input, SHAPE));
    };
    match &*typed.ty {
        Type::Reference(reference)
            if is_named(&reference.elem, "Task") && reference.mutability.is_none() =>
        {
            Ok(Parameter::Task)
        }
        Type::Reference(_) => Err(Error::new_spanned(
            &typed.ty,
            "a handler owns its arguments and borrows its task; write `args: T` or `task: &Task`",
        )),
        ty if is_named(ty, "Task") => Err(Error::new_spanned(
            ty,
            "a handler borrows its task; write `task: &Task`",
        )),
        ty if is_named(ty, "Completion") => Ok(Parameter::Completion(ty.clone())),
        ty if mentions_impl(ty) => Err(Error::new_spanned(
            ty,
            "a handler can't be generic: its arguments come as JSON, so that their type must be known; write the type itself",
        )),
        ty => Ok(Parameter::Args(ty.clone())),
    }
}

fn is_named(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == name),
        _ => false,
    }
}

/// Whether there is an `impl Trait` in it, at the top or as an argument of a path.
fn mentions_impl(ty: &Type) -> bool {
    match ty {
        Type::ImplTrait(_) => true,
        Type::Path(path) => path
            .path
            .segments
            .iter()
            .any(|segment| match &segment.arguments {
                PathArguments::AngleBracketed(arguments) => arguments.args.iter().any(
                    |argument| matches!(argument, GenericArgument::Type(ty) if mentions_impl(ty)),
                ),
                _ => false,
            }),
        _ => false,
    }
}
