" Vim syntax for hone. Copy to ~/.vim/syntax/hone.vim and let files be known by their ending:
"   autocmd BufRead,BufNewFile *.hone setfiletype hone
if exists("b:current_syntax")
  finish
endif

syntax keyword honeItem use option let fn module optimizer data finetune
syntax keyword honeDeclaration param state tie as
syntax keyword honeControl if else for in return
syntax keyword honeOperator and or not
syntax keyword honeBoolean true false
syntax keyword honeClause load save into from merged rename ignore fresh only freeze except where
syntax keyword honeClause adapt with group layers penalty recompute remember step stage metric predict
syntax keyword honeReduction sum prod max min mean any all argmax argmin
syntax keyword honeType int float bool str f64 f32 f16 bf16 i64 i32 i8 u8
syntax match honeNumber "\<\d[0-9_]*\(\.\d[0-9_]*\)\?\([eE][+-]\?\d\+\)\?\>"
syntax match honePrimed "\<\h\w*'"
syntax region honeString start=+"+ skip=+\\.+ end=+"+ oneline
syntax match honeComment "#.*$" contains=@Spell

highlight default link honeItem Keyword
highlight default link honeDeclaration StorageClass
highlight default link honeControl Conditional
highlight default link honeOperator Operator
highlight default link honeBoolean Boolean
highlight default link honeClause Statement
highlight default link honeReduction Function
highlight default link honeType Type
highlight default link honeNumber Number
highlight default link honePrimed Identifier
highlight default link honeString String
highlight default link honeComment Comment
let b:current_syntax = "hone"
