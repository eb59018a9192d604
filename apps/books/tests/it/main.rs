//! The books as their users have them: the program itself, over HTTP and on the command line. What
//! they must do is promised to clients and scripts; how they do it may change without any of this
//! knowing.

#![cfg(test)]

mod commands;
mod matrix;
mod members;
mod numbers;
mod pages;
mod people;
mod resources;
mod roles;
mod support;
