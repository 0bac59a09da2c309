//! SQL expressions as the configuration has them, in filters, derivations and derived columns:
//! parsed by a SQL library, within limits, with the names of the configuration before those
//! of SQL.

use sqlparser::ast::{Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use crate::limits;

/// What a condition is made of, whatever fields are called.
const OPERATORS: [Keyword; 12] = [
    Keyword::AND,
    Keyword::BETWEEN,
    Keyword::FALSE,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::NOT,
    Keyword::NULL,
    Keyword::OR,
    Keyword::TRUE,
    Keyword::UNKNOWN,
];

/// Parses one SQL expression of at most `most` bytes, and nothing after it. What `is_name`
/// knows is a name there, although SQL may mean something else by it: `user`, `date`.
pub(super) fn parse_sql(
    sql: &str,
    most: usize,
    is_name: impl Fn(&str) -> bool,
) -> Result<Expr, String> {
    if sql.len() > most {
        return Err(format!("an expression of {} bytes; at most {most} are read", sql.len()));
    }
    let too_deep = || format!("nested deeper than {}", limits::MAX_EXPRESSION_DEPTH);
    let trouble = |e: &dyn std::fmt::Display| {
        let text = e.to_string();
        match text.strip_prefix("sql parser error: ").unwrap_or(&text) {
            "recursion limit exceeded" => too_deep(),
            other => other.to_owned(),
        }
    };
    let dialect = PostgreSqlDialect {};
    let mut tokens =
        Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|e| trouble(&e))?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    if is_too_deep(tokens.iter().map(|token| &token.token)) {
        return Err(too_deep());
    }
    for at in 0..tokens.len() {
        let is_call = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
        if let Token::Word(word) = &mut tokens[at].token
            && !is_call
            && !OPERATORS.contains(&word.keyword)
            && is_name(&word.value)
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
    let mut parser = Parser::new(&dialect)
        // The innermost comparison takes a few levels more of the parser's.
        .with_recursion_limit(limits::MAX_EXPRESSION_DEPTH + 8)
        .with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|e| trouble(&e))?;
    match parser.peek_token().token {
        Token::EOF => Ok(expr),
        other => Err(format!("\"{other}\" is left over after the expression")),
    }
}

/// Whether `not` and parentheses are within one another beyond the limit. The parser has a
/// limit too, but where it meets it behind a `not`, it takes that for a name and says that
/// something else is wrong.
fn is_too_deep<'t>(tokens: impl Iterator<Item = &'t Token>) -> bool {
    // How many `not` are open within each parenthesis that is.
    let mut open = vec![0];
    for token in tokens {
        match token {
            Token::LParen => open.push(0),
            Token::RParen if open.len() > 1 => drop(open.pop()),
            Token::Word(Word { keyword, .. }) => match (keyword, open.last_mut()) {
                (Keyword::NOT, Some(nots)) => *nots += 1,
                (Keyword::AND | Keyword::OR, Some(nots)) => *nots = 0,
                _ => {}
            },
            _ => {}
        }
        if open.len() - 1 + open.iter().sum::<usize>() > limits::MAX_EXPRESSION_DEPTH {
            return true;
        }
    }
    false
}

/// The plain arguments of a call.
pub(super) fn function_arguments(call: &Function) -> Result<Vec<&Expr>, String> {
    let FunctionArguments::List(list) = &call.args else {
        return Err(format!("{call} needs its arguments in parentheses"));
    };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
            other => Err(format!("{other} is not understood as an argument")),
        })
        .collect()
}
