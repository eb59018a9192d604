//! Rendering with limits, and what a template of a tenant may be made of.

use std::{
    error::Error as _,
    io::{self, Write},
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value,
    machinery::{
        self, Token,
        ast::{BinOpKind, CallArg, Expr, Stmt},
    },
    syntax::SyntaxConfig,
};

/// How many steps a template may take, how long it may be, and what comes of it.
const FUEL: u64 = 50_000;
const LONGEST_SOURCE: usize = 64 * 1024;
const LONGEST: usize = 256 * 1024;

/// How many words and signs an expression may have. `a.a.a…` is a tree that is as deep as it is long, and
/// whoever walks down it needs room for each step: what is too deep ends the process.
const LONGEST_EXPRESSION: usize = 200;
/// How many statements there may be, for the same reason: each `elif` is within the one before.
const MOST_STATEMENTS: usize = 200;

/// What it is rendered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Html,
}

/// Filters that make little out of little.
const FILTERS: &[&str] = &[
    "capitalize",
    "default",
    "length",
    "lower",
    "title",
    "trim",
    "upper",
];

const TESTS: &[&str] = &["defined", "undefined", "none", "true", "false"];

/// A template that was read, and looked at where it is a tenant's: to be rendered any number of times.
pub(crate) struct Compiled(Environment<'static>);

const NAME: &str = "text";

/// Reads a template; one of a tenant's is looked at.
pub(crate) fn compile(source: &str, form: Form, is_tenants: bool) -> Result<Compiled, String> {
    if source.len() > LONGEST_SOURCE {
        return Err(format!("must have at most {LONGEST_SOURCE} bytes"));
    }
    if is_tenants {
        look_at(source)?;
    }
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_syntax(syntax()?);
    environment.set_auto_escape_callback(move |_| match form {
        Form::Text => AutoEscape::None,
        Form::Html => AutoEscape::Html,
    });
    let added = environment.add_template_owned(NAME, source.to_owned());
    added.map_err(|error| said(&error))?;
    Ok(Compiled(environment))
}

impl Compiled {
    /// What comes of it, within the limits.
    pub(crate) fn render(&self, with: &Value) -> Result<String, String> {
        let template = self.0.get_template(NAME).map_err(|error| said(&error))?;
        let mut out = Bounded(Vec::new());
        let rendered = template.render_captured_to(with, &mut out);
        rendered.map(drop).map_err(|error| said(&error))?;
        String::from_utf8(out.0).map_err(|error| error.to_string())
    }
}

/// Renders a template once.
pub(crate) fn render(
    source: &str,
    form: Form,
    with: &Value,
    is_tenants: bool,
) -> Result<String, String> {
    compile(source, form, is_tenants)?.render(with)
}

fn syntax() -> Result<SyntaxConfig, String> {
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    syntax.build().map_err(|error| said(&error))
}

/// Takes so much, and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(io::Error::other("it becomes too long"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is wrong, and where, without what was given.
fn said(error: &Error) -> String {
    let what = match (error.kind(), error.source(), error.detail()) {
        // that there is no more room
        (ErrorKind::WriteFailure, Some(source), _) => source.to_string(),
        (_, _, Some(detail)) => detail.to_owned(),
        (kind, _, None) => kind.to_string(),
    };
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// Whether it is made of what it may be made of. What is not listed here is refused, and so is what a
/// later version of the engine brings.
fn look_at(source: &str) -> Result<(), String> {
    let (mut within, mut blocks) = (0, 0);
    for token in machinery::tokenize(source, false, syntax()?) {
        let token = token.map_err(|error| said(&error))?.0;
        blocks += usize::from(matches!(token, Token::BlockStart));
        if blocks > MOST_STATEMENTS {
            return refused("so many statements");
        }
        within = match token {
            Token::VariableStart | Token::BlockStart | Token::TemplateData(_) => 0,
            _ => within + 1,
        };
        if within > LONGEST_EXPRESSION {
            return refused("expressions that are so long");
        }
    }
    let tree = machinery::parse(source, "text", syntax()?);
    statement(&tree.map_err(|error| said(&error))?)
}

fn refused(what: &str) -> Result<(), String> {
    Err(format!("may not have {what}"))
}

fn statements(all: &[Stmt<'_>]) -> Result<(), String> {
    all.iter().try_for_each(statement)
}

fn statement(one: &Stmt<'_>) -> Result<(), String> {
    match one {
        Stmt::Template(template) => statements(&template.children),
        Stmt::EmitRaw(_) => Ok(()),
        Stmt::EmitExpr(emit) => expression(&emit.expr),
        Stmt::IfCond(cond) => {
            expression(&cond.expr)?;
            statements(&cond.true_body)?;
            statements(&cond.false_body)
        }
        Stmt::ForLoop(each) => {
            if each.recursive {
                return refused("loops that call themselves");
            }
            expression(&each.target)?;
            expression(&each.iter)?;
            each.filter_expr.as_ref().map_or(Ok(()), expression)?;
            statements(&each.body)?;
            statements(&each.else_body)
        }
        _ => refused("statements other than if and for"),
    }
}

fn expression(one: &Expr<'_>) -> Result<(), String> {
    match one {
        Expr::Var(_) | Expr::Const(_) => Ok(()),
        Expr::UnaryOp(op) => expression(&op.expr),
        Expr::BinOp(op) => {
            let grows = !matches!(
                op.op,
                BinOpKind::Eq
                    | BinOpKind::Ne
                    | BinOpKind::Lt
                    | BinOpKind::Lte
                    | BinOpKind::Gt
                    | BinOpKind::Gte
                    | BinOpKind::ScAnd
                    | BinOpKind::ScOr
                    | BinOpKind::In
            );
            if grows {
                return refused("operators other than comparisons");
            }
            expression(&op.left)?;
            expression(&op.right)
        }
        Expr::Compare(compare) => {
            expression(&compare.expr)?;
            compare.ops.iter().try_for_each(|op| expression(&op.expr))
        }
        Expr::IfExpr(choice) => {
            expression(&choice.test_expr)?;
            expression(&choice.true_expr)?;
            choice.false_expr.as_ref().map_or(Ok(()), expression)
        }
        Expr::Filter(filter) => {
            if !FILTERS.contains(&filter.name) {
                return refused(&format!("the filter {}", filter.name));
            }
            filter.expr.as_ref().map_or(Ok(()), expression)?;
            arguments(&filter.args)
        }
        Expr::Test(test) => {
            if !TESTS.contains(&test.name) {
                return refused(&format!("the test {}", test.name));
            }
            expression(&test.expr)?;
            arguments(&test.args)
        }
        Expr::GetAttr(attribute) => expression(&attribute.expr),
        Expr::GetItem(item) => {
            expression(&item.expr)?;
            expression(&item.subscript_expr)
        }
        Expr::List(list) => list.items.iter().try_for_each(expression),
        _ => refused("calls, slices or maps"),
    }
}

fn arguments(all: &[CallArg<'_>]) -> Result<(), String> {
    all.iter().try_for_each(|one| match one {
        CallArg::Pos(expr) | CallArg::Kwarg(_, expr) => expression(expr),
        _ => refused("splats"),
    })
}
