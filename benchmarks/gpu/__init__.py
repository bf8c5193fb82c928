"""What a GPU would do and how long it would take, as far as traced graphs and data sheets tell without one."""
