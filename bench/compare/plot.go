package main

import "errors"

func plotFile(path string) error { return errors.New("to come") }
