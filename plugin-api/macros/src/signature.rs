//! The signature of a handler: which of the allowed shapes it has, or what to write instead.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Error, FnArg, GenericArgument, Pat, PathArguments, ReceiverKind, Result, ReturnType, Safety,
    Signature, Type, spanned::Spanned,
};

use crate::features::Features;

const SHAPE: &str = "write `fn name(&self, args: T, task: &Task) -> Result<R, TaskError>`, \
    where `args` and `task` may be missing";
const NEEDS_FEATURE: &str = "async handlers need the feature `async` of plugin-api; write in \
    Cargo.toml: plugin-api = { version = \"1\", features = [\"async\"] }";
const GENERIC: &str = "a handler can't be generic: its arguments are read from JSON, so their type \
    must be known; write the type itself";
const NOT_PLAIN: &str = "a handler is a plain `fn` or `async fn`; remove this keyword";
const MUTABLE: &str = "a handler takes `&self`, since tasks may run at the same time; keep what \
    changes in a `Mutex` or an atomic";
const NOT_BY_REFERENCE: &str = "a handler takes `&self`; write exactly that";
const TWO_ARGS: &str = "a handler takes one `args`; make one struct of its arguments, the JSON \
    object of the request";
const BORROWED_ARGS: &str =
    "a handler owns its arguments and borrows its task; write `args: T` or `task: &Task`";
const LIFETIME_IN_ARGS: &str = "a handler owns its arguments: write a type without references and \
    lifetimes, `String` in place of `&str` and `Cow<str>`";
const OWNED_TASK: &str = "a handler borrows its task; write `task: &Task`. If this is a `Task` of \
    your own, name the parameter `args`";
const RESULT_IN_COMPLETION: &str = "a completion names the result alone: write `Completion<R>`; an \
    error goes through `completion.complete(Err(…))`";
const ASYNC_COMPLETION: &str =
    "an async handler needs no completion: it is answered when it returns its `Result`";
const TWO_ANSWERS: &str = "a handler that takes a completion returns nothing: its answer goes \
    through `completion.complete(…)`";
const NAMELESS_RESULT: &str = "the result type of a handler must be named: write \
    `Result<R, TaskError>` with the type itself, and `async fn` for a future";

/// What a handler takes and returns.
pub(crate) struct Shape {
    pub(crate) args: Option<Type>,
    pub(crate) ending: Ending,
}

/// The parameter after the arguments, and how the task is answered.
pub(crate) enum Ending {
    /// `takes_task`: where it says so.
    Returns {
        takes_task: Option<Span>,
        output: Type,
    },
    Future {
        takes_task: Option<Span>,
        output: Type,
    },
    Completes {
        completion: Type,
    },
}

impl Shape {
    pub(crate) fn parse(signature: &Signature, features: Features) -> Result<Self> {
        check_plain(signature, features)?;
        check_receiver(signature)?;
        let mut args = None;
        let mut takes_task = None;
        let mut completion = None;
        for input in signature.inputs.iter().skip(1) {
            let parameter = Parameter::parse(input)?;
            if takes_task.is_some() || completion.is_some() {
                let text = format!("the task or the completion is the last parameter: {SHAPE}");
                return complain(input, text);
            }
            match parameter {
                Parameter::Task(span) => takes_task = Some(span),
                Parameter::Completion(ty) => completion = Some(ty),
                Parameter::Args(ty) if args.is_none() => args = Some(ty),
                Parameter::Args(_) => return complain(input, TWO_ARGS),
            }
        }
        let ending = match completion {
            Some(completion) => completing(signature, completion)?,
            None => returning(signature, takes_task)?,
        };
        Ok(Self { args, ending })
    }
}

fn check_plain(signature: &Signature, features: Features) -> Result<()> {
    if let Some(asyncness) = &signature.asyncness
        && !features.futures
    {
        return complain(asyncness, NEEDS_FEATURE);
    }
    if !signature.generics.params.is_empty() {
        return complain(&signature.generics, GENERIC);
    }
    let extra = match (&signature.safety, &signature.abi, &signature.constness) {
        (Safety::Unsafe(token), ..) => Some(token.span()),
        (_, Some(abi), _) => Some(abi.span()),
        (_, _, Some(token)) => Some(token.span()),
        _ => None,
    };
    extra.map_or(Ok(()), |span| Err(Error::new(span, NOT_PLAIN)))
}

fn check_receiver(signature: &Signature) -> Result<()> {
    let Some(receiver) = signature.receiver() else {
        return complain(
            &signature.ident,
            format!("a handler takes `&self`: {SHAPE}"),
        );
    };
    match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => Ok(()),
        ReceiverKind::Reference(_, _, Some(mutability)) => complain(mutability, MUTABLE),
        _ => complain(receiver, NOT_BY_REFERENCE),
    }
}

fn completing(signature: &Signature, completion: Type) -> Result<Ending> {
    if let Some(asyncness) = &signature.asyncness {
        return complain(asyncness, ASYNC_COMPLETION);
    }
    if let ReturnType::Type(_, output) = &signature.output {
        return complain(output, TWO_ANSWERS);
    }
    Ok(Ending::Completes { completion })
}

fn returning(signature: &Signature, takes_task: Option<Span>) -> Result<Ending> {
    let ReturnType::Type(_, output) = &signature.output else {
        let text = format!(
            "a handler returns a `Result`: {SHAPE}; without a result, write \
             `Result<(), TaskError>`"
        );
        return complain(&signature.ident, text);
    };
    if mentions_impl(output) {
        return complain(output, NAMELESS_RESULT);
    }
    let output = Type::clone(output);
    Ok(if signature.asyncness.is_some() {
        Ending::Future { takes_task, output }
    } else {
        Ending::Returns { takes_task, output }
    })
}

enum Parameter {
    Args(Type),
    Task(Span),
    Completion(Type),
}

impl Parameter {
    fn parse(input: &FnArg) -> Result<Self> {
        let FnArg::Typed(typed) = input else {
            return complain(input, SHAPE);
        };
        match &*typed.ty {
            Type::Reference(reference)
                if is_named(&reference.elem, "Task") && reference.mutability.is_none() =>
            {
                Ok(Self::Task(reference.elem.span()))
            }
            ty @ Type::Reference(_) => complain(ty, BORROWED_ARGS),
            ty if is_named(ty, "Task") && is_called_task(&typed.pat) => complain(ty, OWNED_TASK),
            ty if is_named(ty, "Completion") => match only_argument(ty) {
                Some(result) if is_named(result, "Result") => complain(ty, RESULT_IN_COMPLETION),
                Some(_) => Ok(Self::Completion(ty.clone())),
                // A type of the author's own.
                None => Ok(Self::Args(ty.clone())),
            },
            ty if borrows(ty) => complain(ty, LIFETIME_IN_ARGS),
            ty if mentions_impl(ty) => complain(ty, GENERIC),
            ty => Ok(Self::Args(ty.clone())),
        }
    }
}

fn complain<T>(place: impl ToTokens, text: impl Display) -> Result<T> {
    Err(Error::new_spanned(place, text))
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

/// Whether a parameter's name says that it is the task.
fn is_called_task(pattern: &Pat) -> bool {
    matches!(pattern, Pat::Ident(name) if name.ident.to_string().trim_start_matches('_') == "task")
}

/// `T` of `Name<T>`.
fn only_argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    match &path.path.segments.last()?.arguments {
        PathArguments::AngleBracketed(arguments) => {
            let types = arguments.args.iter().filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            });
            types.last()
        }
        _ => None,
    }
}

/// Whether values of this type can't be read from JSON and kept: whether there is a reference or a lifetime in it, but
/// for `'static`.
pub(crate) fn borrows(ty: &Type) -> bool {
    fn any(tokens: TokenStream) -> bool {
        let mut lifetime = false;
        tokens.into_iter().any(|token| {
            let after_quote = std::mem::take(&mut lifetime);
            match token {
                TokenTree::Punct(punct) => {
                    lifetime = punct.as_char() == '\'';
                    punct.as_char() == '&'
                }
                TokenTree::Ident(ident) => after_quote && ident != "static",
                TokenTree::Group(group) => any(group.stream()),
                TokenTree::Literal(_) => false,
            }
        })
    }
    any(ty.to_token_stream())
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
